"""`python -m prefect_slipway.infra.buildkit.proto.generate [--check]`: make `infra/buildkit/wire` of the .proto files.

Needs grpcio-tools (a development dependency). `--check` regenerates into a temporary folder, prints what differs from
the committed files and exits with 1 if anything does.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

PROTO_DIR = Path(__file__).parent
WIRE_DIR = PROTO_DIR.parent / "wire"
# Where the generated modules import each other from.
_PACKAGE_PATH = "prefect_slipway/infra/buildkit/wire"


def generate(root: Path) -> Path:
    """Write the modules below `root` and give their folder back. Raises RuntimeError when protoc fails."""
    from grpc_tools import protoc

    names = sorted(path.name for path in PROTO_DIR.glob("*.proto"))
    status = protoc.main(
        [
            "protoc",
            f"-I{_PACKAGE_PATH}={PROTO_DIR}",
            f"-I{Path(protoc.__file__).parent / '_proto'}",
            f"--python_out={root}",
            f"--pyi_out={root}",
            *(f"{_PACKAGE_PATH}/{name}" for name in names),
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc failed with status {status}")
    return root / _PACKAGE_PATH


def differences() -> list[str]:
    """Names of modules that are missing, stale or no longer generated."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
        expected = {path.name for path in fresh.iterdir()}
        committed = {path.name for path in WIRE_DIR.glob("*_pb2.py*")}
        stale = {name for name in expected & committed if not filecmp.cmp(fresh / name, WIRE_DIR / name, shallow=False)}
        return sorted(stale | expected ^ committed)


def main() -> int:
    parser = argparse.ArgumentParser(description="generate infra/buildkit/wire")
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    if parser.parse_args().check:
        stale = differences()
        for name in stale:
            sys.stderr.write(f"{_PACKAGE_PATH}/{name} is not what the .proto files give; regenerate it\n")
        return 1 if stale else 0
    for path in WIRE_DIR.glob("*_pb2.py*"):
        path.unlink()
    generate(PROTO_DIR.parents[3])
    return 0


if __name__ == "__main__":
    sys.exit(main())

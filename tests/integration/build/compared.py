"""One build by `docker buildx build` and by `slipway build`: what each leaves behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import SLIPWAY
from tests.contract.buildkit.parts import Engine

# Neither a proxy of this machine nor an ssh agent is part of a comparison.
_KEPT = ("PATH", "LANG", "TMPDIR")
METADATA = "metadata-of-the-test.json"


class Left(NamedTuple):
    """`worked`: the exit code is 0; the rest only then. `image`: its digest and name. `files`: names, kinds and
    contents of what is new in the folder; of an archive its members. `stdout`: the same of standard output."""

    worked: bool
    image: dict[str, Any]
    files: dict[str, Any]
    stdout: Any


def environment(engine: Engine, home: Path, **more: str) -> dict[str, str]:
    """Docker's command, too, uses the engine, and nothing of the account's configuration."""
    env = {name: value for name, value in os.environ.items() if name in _KEPT}
    ours = {"HOME": str(home), "SLIPWAY_HOME": str(home / "slipway"), "BUILDX_CONFIG": str(home / "buildx")}
    address = {"DOCKER_HOST": f"unix://{engine.socket}", "BUILDKIT_HOST": engine.address}
    return {**env, **ours, **address, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", **more}


BUILDX = ("docker", "buildx", "build")
OURS = (str(SLIPWAY), "build")


def built(
    command: Sequence[str], arguments: Sequence[str], folder: Path, env: Mapping[str, str], stdin: bytes = b""
) -> Left:
    """Run it in `folder`."""
    before = set(folder.rglob("*"))
    done = subprocess.run(
        [*command, "--metadata-file", METADATA, *arguments], cwd=folder, env=env, input=stdin, capture_output=True
    )
    assert b"Traceback" not in done.stderr, done.stderr
    metadata: dict[str, Any] = {}
    if (folder / METADATA).exists():
        metadata = json.loads((folder / METADATA).read_text())
        (folder / METADATA).unlink()
    if done.returncode:
        return Left(False, {}, {}, b"")
    image = {key: value for key, value in metadata.items() if key in _KNOWN}
    files = {str(path.relative_to(folder)): _content(path) for path in sorted(set(folder.rglob("*")) - before)}
    return Left(True, image, files, _archive(done.stdout) or done.stdout.strip())


_KNOWN = ("containerimage.digest", "image.name", "result.statuscode")


def _content(path: Path) -> Any:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if path.is_dir():
        return "folder"
    data = path.read_bytes()
    return _archive(data) or (path.name not in _TOLD and hashlib.sha256(data).hexdigest())


def _archive(data: bytes) -> dict[str, Any] | None:
    if data[257:262] != b"ustar":
        return None
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: (entry.size, entry.type, entry.mode) for entry in tar if entry.name not in _TOLD}


# What in a layout tells when it was made, or is written by the client.
_TOLD = ("index.json", "oci-layout")

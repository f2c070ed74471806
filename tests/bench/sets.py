"""Twenty images as one DAG: `slipway bake`, a whole release, over `docker buildx bake --push` of the same builds."""

from __future__ import annotations

import base64
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.local.connection import StackConnection
from tests.bench.measure import Row, Side, ratio
from tests.conftest import SLIPWAY
from tests.releases import BASE, registry_login, run_line

_MIDDLE, _LEAVES = 4, 15
# What an image's own step does: it waits, as for a download, and writes 4 MB that nothing can compress.
_WORK = "sleep {seconds}; head -c 4000000 /dev/urandom > /data; echo"


def measure(
    folder: Path, connection: StackConnection, env: Mapping[str, str], runs: int, seconds: int, *, signed: bool = False
) -> Row:
    """One base, four images on it, fifteen on these; every step takes `seconds` and is built anew in each run.

    `signed`: the release signs its images, and what BuildKit states about them; buildx never does.
    """
    folder.mkdir(parents=True)
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", folder / "busybox")
    (folder / "docker-bake.json").write_text(json.dumps(_bake_file(f"{connection.registry}/{folder.name}")))
    docker = {
        "DOCKER_HOST": connection.builder.replace("docker://", "unix://"),
        "DOCKER_CONFIG": str(_login(folder.parent / f"{folder.name}-docker", connection)),
        "BUILDX_CONFIG": str(folder.parent / "buildx"),
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        "PATH": os.environ["PATH"],
    }
    file = folder / "docker-bake.json"
    bake: list[str | Path] = [SLIPWAY, "bake", "--source", folder, "--bump", "patch"]
    if not signed:
        bake += ["--sign", "none", "--provenance", "off"]
    sides = (
        Side(bake, env, lambda: _change(folder, seconds)),
        Side(
            ["sh", "-c", f"cd {folder} && docker buildx bake --push -f {file}"],
            docker,
            lambda: _change(folder, seconds),
        ),
    )
    return ratio(f"20 images, steps of {seconds} s{', signed' if signed else ''}", *sides, runs, 1.2)


def _names() -> dict[str, str | None]:
    """Each image with its base."""
    middle: dict[str, str | None] = {f"middle-{number}": "base" for number in range(_MIDDLE)}
    leaves: dict[str, str | None] = {f"leaf-{number}": f"middle-{number % _MIDDLE}" for number in range(_LEAVES)}
    return {"base": None, **middle, **leaves}


def _bake_file(prefix: str) -> dict[str, object]:
    targets = {
        name: {
            "dockerfile": f"{name}.Dockerfile",
            "contexts": {base: f"target:{base}"} if base else {},
            "tags": [f"{prefix}/{name}:bench"],
        }
        for name, base in _names().items()
    }
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def _change(folder: Path, seconds: int) -> None:
    """Steps that nobody has built before."""
    for name, base in _names().items():
        begin = f"FROM {base}\n" if base else BASE
        # Without a network: the stack's engine has no bridge.
        work = run_line(f"{_WORK.format(seconds=seconds)} {uuid.uuid4().hex}").replace("RUN ", "RUN --network=none ", 1)
        (folder / f"{name}.Dockerfile").write_text(begin + work)


def _login(folder: Path, connection: StackConnection) -> Path:
    """docker's configuration with the registry's password; it goes with the bench's folder."""
    folder.mkdir(mode=0o700)
    login = base64.b64encode(":".join(registry_login(connection)).encode()).decode()
    plugins = [str(path) for path in (Path("/usr/libexec/docker/cli-plugins"),) if path.is_dir()]
    config = {"auths": {connection.registry: {"auth": login}}, "cliPluginsExtraDirs": plugins}
    (folder / "config.json").write_text(json.dumps(config))
    return folder

"""docker buildx on the same daemon: the client that ours is compared with."""

from __future__ import annotations

import functools
import itertools
import os
import re
import subprocess
from pathlib import Path

from tests.contract.buildkit.parts import Engine

_fresh = itertools.count()


def buildx(engine: Engine, context: Path, dockerfile: Path, output: str = "type=cacheonly", *options: str) -> bool:
    """Build; True if every step of the Dockerfile came from the cache."""
    done = subprocess.run(
        [
            "docker",
            "buildx",
            "build",
            "--progress=plain",
            "--output",
            output,
            *options,
            "-f",
            str(dockerfile),
            str(context),
        ],
        env=_environment(engine),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = set(re.findall(r"^(#\d+) \[(?!internal|auth|context )", done.stderr, re.MULTILINE))
    assert steps, done.stderr
    return steps <= set(re.findall(r"^(#\d+) CACHED", done.stderr, re.MULTILINE))


@functools.cache
def _environment(engine: Engine) -> dict[str, str]:
    env = {**os.environ, "BUILDX_CONFIG": str(engine.home / "buildx")}
    if engine.is_docker:
        return env | {"DOCKER_HOST": f"unix://{engine.socket}"}
    create = ("docker", "buildx", "create", "--name", "named", "--driver", "remote", engine.address)
    subprocess.run(create, env=env, check=True, capture_output=True)
    return env | {"BUILDX_BUILDER": "named"}


def copy_everything(folder: Path) -> Path:
    """A Dockerfile that copies the whole context, to a place that no build of this session has copied to before."""
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(f"FROM scratch\nCOPY . /tree{next(_fresh)}-{os.getpid()}/\n")
    return dockerfile

"""`--load` with a builder that is no Docker engine: the image goes into the one that the `docker` command uses."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunningStack, run_slipway
from tests.contract.buildkit.parts import BASE, Engine, busybox_context, run
from tests.integration.build.compared import BUILDX, environment


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return busybox_context(tmp_path / "source", BASE + "ARG TARGETARCH\nENV A=$TARGETARCH\n")


async def load(
    remote: Engine, into: Engine, source: Path, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Build there, load here."""
    env = environment(into, source.parent, BUILDKIT_HOST=remote.address, **env)
    done = await asyncio.to_thread(run_slipway, "build", ".", *arguments, env=env, cwd=source)
    assert "Traceback" not in done.stderr, done.stderr
    return done


async def docker(engine: Engine, *arguments: str | Path, **env: str) -> str:
    whole = environment(engine, engine.home, **env)
    done = await asyncio.to_thread(
        subprocess.run, ["docker", *arguments], env=whole, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout.strip())


@pytest.mark.parametrize("kind", ["engine", "plain_engine"])
@pytest.mark.parametrize("arguments", [("--load",), ("-o", "type=docker"), ("--load", "-o", "type=local,dest=out")])
async def test_an_image_is_loaded(
    request: pytest.FixtureRequest, remote: Engine, source: Path, kind: str, arguments: tuple[str, ...]
) -> None:
    """With its name, under the id that is told, and it runs; into an engine of either kind."""
    into = request.getfixturevalue(kind)
    done = await load(remote, into, source, "-t", "loaded/here:1", "-t", "also:2", "-q", *arguments)
    assert done.returncode == 0, done.stderr
    for name in ("loaded/here:1", "also:2"):
        assert await docker(into, "image", "inspect", "--format", "{{.Id}}", name) == done.stdout.strip()
    command = ("run", "--rm", "--network", "none", "loaded/here:1", "/bin/busybox", "env")
    assert "A=amd64" in await docker(into, *command)


async def test_the_image_is_the_one_that_buildx_loads(remote: Engine, plain_engine: Engine, source: Path) -> None:
    """The engine has the same afterwards."""
    await docker(plain_engine, "buildx", "create", "--name", "elsewhere", "--driver", "remote", remote.address)
    await docker(plain_engine, *BUILDX[1:], "--builder", "elsewhere", "--load", "-t", "theirs", source)
    done = await load(remote, plain_engine, source, "--load", "-t", "ours")
    assert done.returncode == 0, done.stderr
    ours, theirs = [
        await docker(plain_engine, "image", "inspect", "--format", "{{.Id}}", n) for n in ("ours", "theirs")
    ]
    assert ours == theirs


async def test_several_platforms(remote: Engine, engine: Engine, plain_engine: Engine, source: Path) -> None:
    """Only an engine with an image store takes them; the other one's lack is said before the build."""
    several = ("--load", "-t", "several", "--platform", "linux/amd64,linux/arm64")
    assert (await load(remote, engine, source, *several)).returncode == 0
    assert await docker(engine, "image", "inspect", "--format", "{{.Id}}", "several")
    for arguments in (several, ("--load", "--attest", "type=provenance")):
        refused = await load(remote, plain_engine, source, *arguments)
        assert refused.returncode == 2
        assert "only accepts images of one platform, without attestations" in refused.stderr
        assert "COPY" not in refused.stderr


async def test_an_engine_of_dockers_contexts(
    remote: Engine, engine: Engine, plain_engine: Engine, source: Path
) -> None:
    """A context is asked for by its name in the output, by DOCKER_CONTEXT, or is docker's current one; DOCKER_HOST goes
    before the latter two."""
    config = str(source.parent / "docker")
    place = f"host=unix://{plain_engine.socket}"
    await docker(engine, "context", "create", "other", "--docker", place, DOCKER_CONFIG=config)
    await docker(engine, "context", "use", "other", DOCKER_CONFIG=config, DOCKER_HOST="")
    for number, (arguments, env, into) in enumerate(
        (
            (("-o", "type=docker,context=other"), {}, plain_engine),
            (("--load",), {"DOCKER_CONTEXT": "other", "DOCKER_HOST": ""}, plain_engine),
            (("--load",), {"DOCKER_HOST": ""}, plain_engine),
            (("--load",), {}, engine),
        )
    ):
        name = f"by/context:{number}"
        done = await load(remote, engine, source, "-t", name, *arguments, DOCKER_CONFIG=config, **env)
        assert done.returncode == 0, done.stderr
        for each in (engine, plain_engine):
            assert bool(await docker(each, "image", "ls", "--quiet", name)) == (each == into), (name, each)


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (
            ("--load",),
            {"DOCKER_HOST": "unix:///nowhere.sock"},
            "at unix:///nowhere.sock, which should receive the image",
        ),
        (("--load",), {"DOCKER_HOST": "tcp://127.0.0.1:1"}, "at tcp://127.0.0.1:1, which should receive the image"),
        (("--load",), {"DOCKER_HOST": "ssh://root@host"}, "cannot be loaded into the Docker engine at ssh://"),
        (("-o", "type=docker,context=nowhere"), {}, "docker has no readable context 'nowhere'"),
        (("--load",), {"DOCKER_CONTEXT": "nowhere", "DOCKER_HOST": ""}, "docker has no readable context 'nowhere'"),
    ],
)
async def test_engines_that_take_nothing(
    remote: Engine, engine: Engine, source: Path, arguments: tuple[str, ...], env: dict[str, str], words: str
) -> None:
    """The cause is named before anything is built."""
    done = await load(remote, engine, source, *arguments, "--no-cache", **env)
    assert done.returncode != 0
    assert words in done.stderr
    assert "COPY" not in done.stderr


async def test_the_embedded_builder(stack: RunningStack, plain_engine: Engine, source: Path) -> None:
    """It is one, too, and keeps nothing itself, although it is an engine."""
    env = {**stack.env, "DOCKER_HOST": f"unix://{plain_engine.socket}"}
    line = ("build", source, "-t", "embedded/one", "-q")
    kept = await asyncio.to_thread(run_slipway, *line, env=env)
    assert (kept.returncode, kept.stdout) == (0, "\n")
    loaded = await asyncio.to_thread(run_slipway, *line, "--load", env=env)
    assert loaded.returncode == 0, loaded.stderr
    for engine, listed in ((plain_engine, loaded.stdout.strip()), (Engine(stack.connection.builder, source), "")):
        assert await docker(engine, "image", "ls", "--quiet", "--no-trunc", "embedded/one") == listed


async def test_a_build_that_fails_loads_nothing(remote: Engine, engine: Engine, source: Path) -> None:
    """It ends with its own cause."""
    busybox_context(source, BASE + run("exit 3"))
    done = await load(remote, engine, source, "--load", "-t", "failed/build", "--network", "none")
    assert done.returncode != 0
    assert "exit code: 3" in done.stderr
    assert await docker(engine, "image", "ls", "--quiet", "failed/build") == ""

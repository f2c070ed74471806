"""A builder in a container, `docker-container://NAME`: a real container of the private engine. Its `buildctl`
leads to the engine's own BuildKit, as no image with a buildkitd can be had here."""

from __future__ import annotations

import asyncio
import io
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent, Step
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.errors import BuilderProtocolError, BuilderUnreachable, InvalidOption
from tests.contract.buildkit.parts import BASE, BUSYBOX, Engine, build, docker
from tests.contract.buildkit.relay import Relay, listener
from tests.waiting import calm_looks

_BUILDCTL = """#!/bin/busybox sh
echo "a warning of no consequence" >&2
[ "$*" = dial-stdio ] && exec /bin/busybox nc 127.0.0.1 "$PORT"
"""


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    """Busybox, and a buildctl that connects to $PORT."""
    if not engine.is_docker:
        pytest.skip("the daemon that was named runs no containers")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (("bin/busybox", BUSYBOX.read_bytes()), ("bin/buildctl", _BUILDCTL.encode())):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    name = docker(engine, "import", "-", "builder-in-a-container:test", given=packed.getvalue()).strip()
    yield name
    docker(engine, "image", "rm", "--force", name)


@contextmanager
def container(engine: Engine, image: str, port: int, *options: str) -> Iterator[str]:
    name = f"builder-{uuid.uuid4().hex[:8]}"
    command = (image, "/bin/busybox", "sleep", "1000000")
    docker(engine, "run", "-d", "--name", name, "--network", "host", "-e", f"PORT={port}", *options, *command)
    try:
        yield name
    finally:
        docker(engine, "rm", "--force", name)


async def processes_become(engine: Engine, name: str, number: int) -> None:
    async for _ in calm_looks():
        running = len(docker(engine, "top", name).splitlines()) - 1
        if running == number:
            return
    raise AssertionError(f"{running} processes")


@asynccontextmanager
async def builder(engine: Engine, image: str) -> AsyncIterator[tuple[BuilderAddress, str]]:
    async with Relay(engine.upstream) as relay:
        with container(engine, image, relay.port) as name:
            yield BuilderAddress.parse(f"docker-container://{name}"), name


@pytest.fixture(autouse=True)
def there(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")


async def test_a_build_in_a_container(engine: Engine, image: str, context: Callable[[str], Path]) -> None:
    """All goes through one process in the container, which ends with the connection."""
    folder = context(BASE + "COPY large /\n")
    (folder / "large").write_bytes(bytes(5 << 20))
    async with builder(engine, image) as (address, name):
        events: list[BuildEvent] = []
        await build(str(address), folder, events=events)
        assert any("COPY large" in event.name for event in events if isinstance(event, Step))
        await processes_become(engine, name, 1)
        async with BuildKit(address) as client:
            assert (await client.info()).version
            await processes_become(engine, name, 2)
        await processes_become(engine, name, 1)


async def test_several_connections_at_once(engine: Engine, image: str) -> None:
    """Each has a process of its own."""

    async def asked(address: BuilderAddress) -> str:
        async with BuildKit(address) as client:
            return (await client.info()).version

    async with builder(engine, image) as (address, _):
        assert len(set(await asyncio.gather(*(asked(address) for _ in range(4))))) == 1


async def test_a_container_that_is_not_there(engine: Engine, image: str) -> None:
    """Unknown, stopped or without a buildkitd: the engine's words, and how to find the right one."""
    with pytest.raises(BuilderUnreachable, match="No such container: nosuch") as caught:
        await BuildKit(BuilderAddress.parse("docker-container://nosuch")).__aenter__()
    assert "docker ps" in str(caught.value.action)
    async with builder(engine, image) as (address, name):
        docker(engine, "stop", "--time", "0", name)
        with pytest.raises(BuilderUnreachable, match="not running"):
            await BuildKit(address).__aenter__()


async def test_a_container_without_a_buildkitd(engine: Engine, image: str) -> None:
    """Either its buildctl finds none, or there is no buildctl."""
    with container(engine, image, 1) as name, pytest.raises(BuilderUnreachable, match="no buildkitd answers") as caught:
        await BuildKit(BuilderAddress.parse(f"docker-container://{name}")).__aenter__()
    assert "refused" in caught.value.details
    with (
        container(engine, image, 1, "-e", "PATH=/nowhere") as name,
        pytest.raises(BuilderUnreachable, match="buildkitd answers") as caught,
    ):
        await BuildKit(BuilderAddress.parse(f"docker-container://{name}")).__aenter__()
    assert "buildctl" in f"{caught.value} {caught.value.details}"


@pytest.mark.parametrize("named", ["tcp://127.0.0.1:2375", "ssh://me@there", "unix://relative"])
async def test_an_engine_elsewhere(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Its containers cannot be entered from here."""
    monkeypatch.setenv("DOCKER_HOST", named)
    with pytest.raises(InvalidOption, match="not a socket on this machine"):
        await BuildKit(BuilderAddress.parse("docker-container://builder")).__aenter__()


@pytest.mark.parametrize(
    "answers",
    [
        (b"",),
        (b"SSH-2.0-OpenSSH\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n\r\n{}",),
        (b"HTTP/1.1 99999999999 OK\r\n\r\n{}",),
        (b"HTTP/1.1 201 Created\r\n\r\nno JSON",),
        (b"HTTP/1.1 201 Created\r\n\r\n[]",),
        (b'HTTP/1.1 201 Created\r\n\r\n{"Id": "../x"}',),
        (b'HTTP/1.1 201 Created\r\n\r\n{"Id": "x"}', b""),
        (b'HTTP/1.1 201 Created\r\n\r\n{"Id": "x"}', b"HTTP/1.1 500 Oops\r\n\r\n"),
        (b'HTTP/1.1 201 Created\r\n\r\n{"Id": "x"}', b"HTTP/1.1 101 Upgraded\r\n\r\n"),
        (b'HTTP/1.1 201 Created\r\n\r\n{"Id": "x"}', b"HTTP/1.1 101 Upgraded\r\n\r\n\x01\0\0"),
        (b'HTTP/1.1 201 Created\r\n\r\n{"Id": "x"}', b"HTTP/1.1 101 Upgraded\r\n\r\n\x01\0\0\0\0\0\0\x09no HTTP/2"),
    ],
)
async def test_any_answer_is_a_named_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: tuple[bytes, ...]
) -> None:
    """Something else listens on the socket, or the engine breaks off."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        await writer.drain()

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    async with listener(answer, tmp_path / "docker.sock"):
        with pytest.raises((BuilderUnreachable, BuilderProtocolError)):
            await BuildKit(BuilderAddress.parse("docker-container://builder")).__aenter__()
    assert left == []

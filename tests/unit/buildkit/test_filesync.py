"""The file sync protocol, with a daemon played by the test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from prefect_slipway.infra.buildkit.http2.grpc import ClientCall, Code, GrpcClient, GrpcError, GrpcServer
from prefect_slipway.infra.buildkit.http2.stream import ConnectionLost, ProtocolViolation
from prefect_slipway.infra.buildkit.session.filesync import FileSync, decoded
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Packet, Stat
from tests.unit.buildkit.pipe import pipe
from tests.waiting import soon

METHOD = "/moby.filesync.v1.FileSync/DiffCopy"


class Daemon:
    """The receiving side."""

    def __init__(self, call: ClientCall) -> None:
        self._call = call

    async def send(self, **fields: object) -> None:
        await self._call.send(Packet(**fields).SerializeToString())  # type: ignore[arg-type]

    async def receive(self) -> Packet | None:
        data = await soon(self._call.receive())
        return Packet.FromString(data) if data is not None else None

    async def stats(self) -> list[Stat]:
        """All announcements."""
        found = []
        while (packet := await self.receive()) is not None and packet.HasField("stat"):
            found.append(packet.stat)
        return found

    async def content(self, number: int) -> bytes:
        await self.send(type=Packet.PACKET_REQ, ID=number)
        content = b""
        while True:
            packet = await self.receive()
            assert packet is not None
            assert (packet.type, packet.ID) == (Packet.PACKET_DATA, number), packet
            if not packet.data:
                return content
            content += packet.data


@asynccontextmanager
async def syncing(
    root: Path, *metadata: tuple[str, str], clamped_to: int | None = None
) -> AsyncIterator[tuple[Daemon, FileSync]]:
    near, far = pipe()
    sync = FileSync({"context": root}, clamped_to=clamped_to)
    serving = asyncio.create_task(GrpcServer({METHOD: sync.diff_copy}).serve(far))
    async with GrpcClient(near) as client, client.call(METHOD, [("dir-name", "context"), *metadata]) as call:
        yield Daemon(call), sync
    await soon(serving)


async def test_announce_request_finish(tmp_path: Path) -> None:
    """Files are announced, sent when asked for by position, and FIN ends it well."""
    (tmp_path / "d").mkdir()
    content = os.urandom(3 << 20)
    (tmp_path / "d" / "large").write_bytes(content)
    (tmp_path / "empty").touch()
    async with syncing(tmp_path) as (daemon, _):
        assert [stat.path for stat in await daemon.stats()] == [b"d", b"d/large", b"empty"]
        assert await daemon.content(1) == content
        assert await daemon.content(2) == b""
        await daemon.send(type=Packet.PACKET_FIN)
        finished = await daemon.receive()
        assert finished is not None
        assert finished.type == Packet.PACKET_FIN
        assert await daemon.receive() is None


@pytest.mark.parametrize("change", ["vanishes", "grows", "becomes a pipe", "is touched"])
async def test_a_file_that_is_not_what_was_announced(tmp_path: Path, change: str) -> None:
    """A file that vanished or changed is an ERR packet with its name, and the cause on our side."""
    file = tmp_path / "file"
    file.write_text("before")
    async with syncing(tmp_path) as (daemon, sync):
        await daemon.stats()
        if change == "grows":
            file.write_text("before and after")
        elif change == "is touched":
            os.utime(file, ns=(0, 0))
        else:
            file.unlink()
            if change == "becomes a pipe":
                os.mkfifo(file)
        await daemon.send(type=Packet.PACKET_REQ, ID=0)
        packet = await daemon.receive()
        assert packet is not None
        assert packet.type == Packet.PACKET_ERR
        assert b"'file'" in packet.data
        with pytest.raises(GrpcError):
            await daemon.receive()
    assert sync.failure is not None
    assert "'file'" in sync.failure.cause


async def test_files_older_than_the_time_that_all_get(tmp_path: Path) -> None:
    """They are announced as newer, each in its own way within the second, and are sent all the same."""
    epoch, second = 1_700_000_000, 1_000_000_000
    times = {"a-old": 1_000 * second, "b-old": 1_001 * second, "c-same": epoch * second, "d-new": (epoch + 9) * second}
    for name, time in times.items():
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(time, time))
    async with syncing(tmp_path, clamped_to=epoch) as (daemon, _):
        found = [stat.modTime for stat in await daemon.stats()]
        assert all(epoch * second < time < (epoch + 1) * second for time in found[:3]), found
        assert len(set(found)) == 4
        assert found[3] == times["d-new"]
        assert [await daemon.content(number) for number in range(4)] == [name.encode() for name in times]
        await daemon.send(type=Packet.PACKET_FIN)
        await daemon.receive()


@pytest.mark.parametrize("number", [0, 7], ids=["a folder", "beyond the end"])
async def test_a_file_that_was_not_announced(tmp_path: Path, number: int) -> None:
    """A request for what has no content is a violation by the daemon, and ends the session."""
    (tmp_path / "d").mkdir()
    with pytest.raises(ExceptionGroup) as group:
        async with syncing(tmp_path) as (daemon, _):
            await daemon.stats()
            await daemon.send(type=Packet.PACKET_REQ, ID=number)
            with pytest.raises((GrpcError, ConnectionLost)):
                await daemon.receive()
    assert group.group_contains(ProtocolViolation)


async def test_a_daemon_that_gives_up(tmp_path: Path) -> None:
    """An ERR packet from the daemon ends the transfer."""
    async with syncing(tmp_path) as (daemon, _):
        await daemon.stats()
        await daemon.send(type=Packet.PACKET_ERR, data=b"disk full")
        with pytest.raises(GrpcError):
            await daemon.receive()


async def test_only_offered_directories(tmp_path: Path) -> None:
    """A directory that was not offered is refused, whatever its name."""
    near, far = pipe()
    serving = asyncio.create_task(GrpcServer({METHOD: FileSync({"context": tmp_path}).diff_copy}).serve(far))
    async with GrpcClient(near) as client, client.call(METHOD, [("dir-name", "/etc")]) as call:
        with pytest.raises(GrpcError) as error:
            await call.receive()
    assert error.value.code is Code.NOT_FOUND
    await serving


async def test_patterns_come_escaped(tmp_path: Path) -> None:
    """Patterns beyond ASCII come percent-encoded, with a twin key that says so."""
    (tmp_path / "ü +").touch()
    (tmp_path / "other").touch()
    metadata = [("exclude-patterns", quote_plus("ü +")), ("exclude-patterns-encoded", "1")]
    async with syncing(tmp_path, *metadata) as (daemon, _):
        assert [stat.path for stat in await daemon.stats()] == [b"other"]


async def test_a_bad_pattern(tmp_path: Path) -> None:
    """A pattern that cannot be read ends the transfer, and is the cause that is kept."""
    async with syncing(tmp_path, ("exclude-patterns", "[")) as (daemon, sync):
        packet = await daemon.receive()
        assert packet is not None and packet.type == Packet.PACKET_ERR
        with pytest.raises(GrpcError, match="pattern"):
            await daemon.receive()
    assert sync.failure is not None
    assert sync.failure.cause.startswith(".dockerignore: the pattern '['")


def test_plain_values_are_not_unescaped() -> None:
    """Without the twin key a value stands as it is."""
    assert decoded({"k": ["a%20b+c"]}, "k") == ["a%20b+c"]
    assert decoded({}, "k") == []

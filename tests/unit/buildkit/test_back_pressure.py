"""Who is slow makes the other side wait; nothing piles up in memory. The daemon is played by the test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.build.filesend import FileSend
from prefect_slipway.infra.buildkit.build.outputs import TarOutput
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcClient, GrpcError, GrpcServer
from prefect_slipway.infra.buildkit.session.filesync import FileSync
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Packet
from tests.unit.buildkit.pipe import pipe
from tests.waiting import soon

SIZE = 96 << 20
# HTTP/2's window for the stream, what is queued on top of it and what is under way.
MOST = 24 << 20


async def stands_still(written: Callable[[], int]) -> int:
    """How many bytes were written when no more are."""
    before = -1
    while (now := written()) != before:
        before = now
        await asyncio.sleep(0.2)
    return now


async def test_a_daemon_that_does_not_read(tmp_path: Path) -> None:
    """A file that the daemon asked for and does not take is read no further than the windows allow."""
    with (tmp_path / "large").open("wb") as large:
        large.truncate(SIZE)
    near, far = pipe()
    serving = asyncio.create_task(GrpcServer(FileSync({"context": tmp_path}).handlers()).serve(far))
    method = "/moby.filesync.v1.FileSync/DiffCopy"
    async with GrpcClient(near) as client, client.call(method, [("dir-name", "context")]) as call:
        await call.receive()
        await call.send(Packet(type=Packet.PACKET_REQ, ID=0).SerializeToString())
        assert await stands_still(lambda: far.written) < MOST  # type: ignore[attr-defined]
        found = 0
        while found < SIZE:
            data = await soon(call.receive())
            assert data is not None
            found += len(Packet.FromString(data).data)
    await soon(serving)


async def test_an_output_that_nobody_takes(tmp_path: Path) -> None:
    """An archive into a pipe that is not read makes the daemon wait, and arrives whole once it is."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    near, far = pipe()
    serving = asyncio.create_task(GrpcServer(FileSend((TarOutput(path),)).handlers()).serve(far))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    async with GrpcClient(near) as client, client.call("/moby.filesync.v1.FileSend/DiffCopy") as call:

        async def send() -> None:
            for _ in range(SIZE >> 20):
                await call.send(BytesMessage(data=bytes(1 << 20)).SerializeToString())
            call.end()

        sending = asyncio.create_task(send())
        assert await stands_still(lambda: near.written) < MOST  # type: ignore[attr-defined]
        with os.fdopen(reader, "rb") as file:
            taking = asyncio.create_task(asyncio.to_thread(lambda: len(file.read())))
            await sending
            assert await soon(call.receive()) is None
            assert await soon(taking) == SIZE
    await soon(serving)


async def test_a_pipe_that_is_no_longer_read(tmp_path: Path) -> None:
    """A stream into a pipe whose reader has stopped does not keep the session from ending, and the pipe stays as it
    was."""
    source, target = os.pipe()
    near, far = pipe()
    with os.fdopen(source, "rb"), os.fdopen(target, "wb") as stream:
        serving = asyncio.create_task(GrpcServer(FileSend((TarOutput(stream),)).handlers()).serve(far))
        async with GrpcClient(near) as client, client.call("/moby.filesync.v1.FileSend/DiffCopy") as call:
            for _ in range(3):
                await call.send(BytesMessage(data=bytes(1 << 20)).SerializeToString())
            await stands_still(lambda: near.written)  # type: ignore[attr-defined]
        await soon(serving)
        assert os.get_blocking(target)


async def test_a_pipe_without_a_reader(tmp_path: Path) -> None:
    """A pipe that nobody has open is an error at once."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    near, far = pipe()
    target = FileSend((TarOutput(path),))
    serving = asyncio.create_task(GrpcServer(target.handlers()).serve(far))
    async with GrpcClient(near) as client, client.call("/moby.filesync.v1.FileSend/DiffCopy") as call:
        with pytest.raises(GrpcError) as error:
            await soon(call.receive())
    assert error.value.code is Code.INTERNAL
    assert str(path) in str(target.failure)
    await soon(serving)

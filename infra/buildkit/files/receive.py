"""Receives a directory from the daemon: the other side of FileSend/DiffCopy, as `receive.go` and `diskwriter.go` of
tonistiigi/fsutil have it.

Directories, links and devices are made as their STAT packets come; a regular file is asked for by REQ and gets its name
when its last byte is there; hard links, and the modes and times of directories, come last. What is there already stays
unless the result has something else of that name.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from prefect_slipway.infra.buildkit.files.tree import Tree
from prefect_slipway.infra.buildkit.files.walk import has_content
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, ServerCall, decode, frame
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Packet, Stat
from prefect_slipway.infra.common.tasks import cause_of, in_thread
from prefect_slipway.infra.domain.errors import OutputError

_MOST_WAITING = 4 << 20


async def receive_files(call: ServerCall, folder: Path, came: set[bytes] | None = None) -> None:
    """Serve the call: put all it sends below `folder`. `came`: takes the paths of everything that came.

    Raises OutputError, OSError, GrpcError.
    """
    await _Transfer(call, folder, came).run()


class _Transfer:
    """One task takes packets in, another puts what has gathered onto the disk, in a thread."""

    def __init__(self, call: ServerCall, folder: Path, came: set[bytes] | None) -> None:
        self._call = call
        self._folder = folder
        self._came = came
        self._waiting: list[Packet] = []
        self._size = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._over = False

    async def run(self) -> None:
        receiver = _Receiver(await in_thread(partial(Tree, self._folder)), self._came)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read())
                await self._write(receiver)
                await reading
        except BaseExceptionGroup as group:
            error = cause_of(group)
            if isinstance(error, OSError | OutputError):
                packet = Packet(type=Packet.PACKET_ERR, data=b"the client cannot write it")
                await self._call.send_framed(frame(packet.SerializeToString()))
            raise error from None
        finally:
            await in_thread(receiver.tree.close)

    async def _read(self) -> None:
        """Until FIN has been answered; waits while too much lies around."""
        while (message := await self._call.receive()) is not None:
            packet = decode(Packet, message)
            if packet.type == Packet.PACKET_ERR:
                raise GrpcError(Code.UNKNOWN, "error from sender")
            if packet.type == Packet.PACKET_FIN:
                self._over = True
                self._arrived.set()
                return
            self._waiting.append(packet)
            self._size += len(message)
            self._arrived.set()
            while self._size > _MOST_WAITING:
                self._taken.clear()
                await self._taken.wait()
        raise GrpcError(Code.CANCELLED, "the transfer was given up")

    async def _write(self, receiver: _Receiver) -> None:
        while not self._over:
            await self._arrived.wait()
            self._arrived.clear()
            packets, self._waiting, self._size = self._waiting, [], 0
            self._taken.set()
            if packets and (answer := await in_thread(partial(receiver.take, packets))):
                await self._call.send_framed(answer)


class _Receiver:
    """What the packets mean. Used from one thread at a time."""

    def __init__(self, tree: Tree, came: set[bytes] | None = None) -> None:
        self.tree = tree
        self._came = came
        self._count = 0
        self._announced = False
        self._pending: dict[int, Stat] = {}
        self._open: dict[int, int] = {}
        self._links: list[Stat] = []
        self._folders: list[Stat] = []

    def take(self, packets: list[Packet]) -> bytes:
        """Process packets and return the answers. Raises OSError, OutputError, GrpcError."""
        answer = bytearray()
        for packet in packets:
            if packet.type == Packet.PACKET_DATA:
                self._data(packet)
            elif packet.type == Packet.PACKET_STAT and packet.HasField("stat"):
                if self._entry(packet.stat):
                    request = Packet(type=Packet.PACKET_REQ, ID=self._count)
                    answer += frame(request.SerializeToString())
                self._count += 1
            elif packet.type == Packet.PACKET_STAT:
                self._announced = True
        if self._announced and not self._pending:
            self._announced = False
            self._finish()
            answer += frame(Packet(type=Packet.PACKET_FIN).SerializeToString())
        return bytes(answer)

    def _entry(self, stat: Stat) -> bool:
        """Make what can be made now; True for a file whose content is wanted."""
        if self._came is not None:
            self._came.add(stat.path)
        if not has_content(stat.mode):
            if self.tree.make(stat):
                self._folders.append(stat)
        elif stat.linkname:
            self._links.append(stat)
        else:
            self._pending[self._count] = stat
            return True
        return False

    def _data(self, packet: Packet) -> None:
        stat = self._pending.get(packet.ID)
        if stat is None:
            raise GrpcError(Code.INVALID_ARGUMENT, f"data of file {packet.ID}, which was not asked for")
        if packet.ID not in self._open:
            self._open[packet.ID] = self.tree.begin(stat)
        if packet.data:
            self.tree.write(self._open[packet.ID], packet.data)
        else:
            del self._pending[packet.ID]
            self.tree.finish(self._open.pop(packet.ID), stat)

    def _finish(self) -> None:
        for stat in self._links:
            self.tree.link(stat)
        # Making something in a folder changes its time.
        for stat in reversed(self._folders):
            self.tree.seal(stat)

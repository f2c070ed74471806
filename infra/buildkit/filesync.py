"""Sends a directory to the daemon: FileSync/DiffCopy, the protocol of tonistiigi/fsutil (`send.go`).

STAT packets in walk order, an empty STAT after the last; for each REQ(ID = position in that order) DATA packets and an
empty one; FIN is answered by FIN; ERR with a text ends it from either side.
"""

from __future__ import annotations

import asyncio
import os
import stat
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from urllib.parse import unquote_plus

from flows.domain.errors import ContextError
from infra.buildkit.grpc import Code, GrpcError, Handler, ServerCall, decode, frame
from infra.buildkit.http2_stream import ProtocolViolation
from infra.buildkit.ignore import PatternError
from infra.buildkit.tasks import cause_of, in_thread
from infra.buildkit.walk import Selection, has_content, walk
from infra.buildkit.wire.fsutil_pb2 import Packet, Stat

_STATS_AT_ONCE = 256
_BYTES_AT_ONCE = 1 << 20
# grpc-go's default limit for a message is 4 MiB; fsutil itself sends 32 KiB at a time.
_DATA_SIZE = 1 << 18


class FileSync:
    """Serves directories by name. `failure`: the ContextError that ended a transfer, which the daemon only retells."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        self._directories = directories
        self.failure: ContextError | None = None

    def handlers(self) -> dict[str, Handler]:
        return {"/moby.filesync.v1.FileSync/DiffCopy": self.diff_copy}

    async def diff_copy(self, call: ServerCall) -> None:
        """The handler of FileSync/DiffCopy. Raises GrpcError."""
        name = _first(decoded(call.metadata, "dir-name"))
        directory = self._directories.get(name)
        if directory is None:
            raise GrpcError(Code.NOT_FOUND, f"no access allowed to dir {name!r}")
        selection = Selection(
            include=tuple(decoded(call.metadata, "include-patterns")),
            exclude=tuple(decoded(call.metadata, "exclude-patterns")),
            follow=tuple(decoded(call.metadata, "followpaths")),
        )
        try:
            await _Transfer(call, directory, selection).run()
        except ContextError as error:
            self.failure = self.failure or error
            packet = Packet(type=Packet.PACKET_ERR, data=error.cause.encode(errors="replace"))
            await call.send_framed(frame(packet.SerializeToString()))
            raise GrpcError(Code.UNKNOWN, error.cause) from error


def decoded(metadata: Mapping[str, list[str]], key: str) -> list[str]:
    """The values of `key`, unescaped if its twin `KEY-encoded` says so (session/filesync/filesync.go)."""
    values = metadata.get(key, [])
    if _first(metadata.get(f"{key}-encoded", [])).lower() in {"1", "t", "true"}:
        return [unquote_plus(value, errors="surrogateescape") for value in values]
    return values


class _FileTable:
    """Path, size and time of what was announced, by position: a few bytes an entry, for contexts of any size."""

    def __init__(self) -> None:
        self._paths = bytearray()
        self._ends = array("Q")
        self._sizes = array("q")
        self._times = array("q")

    def add(self, entry: Stat) -> None:
        if has_content(entry.mode):
            self._paths += entry.path
        self._ends.append(len(self._paths))
        self._sizes.append(entry.size)
        self._times.append(entry.modTime)

    def __getitem__(self, index: int) -> tuple[bytes, int, int]:
        start = self._ends[index - 1] if index else 0
        path = bytes(self._paths[start : self._ends[index]])
        if not path:
            raise IndexError(index)
        return path, self._sizes[index], self._times[index]


class _Reader:
    """Reads requested files one after the other, as frames of DATA packets. Used from one thread at a time."""

    def __init__(self, root: Path, table: _FileTable) -> None:
        self._root = os.path.realpath(os.fsencode(root))
        self._table = table
        self.requests: deque[int] = deque()
        self._open: tuple[int, int, int] | None = None  # id, file descriptor, bytes read

    def next_frames(self) -> bytes:
        """About _BYTES_AT_ONCE of frames; b"" when nothing is asked for. Raises ContextError, ProtocolViolation."""
        frames = bytearray()
        while len(frames) < _BYTES_AT_ONCE and (self._open is not None or self.requests):
            if self._open is None:
                number = self.requests.popleft()
                if self._is_socket(number):
                    frames += frame(Packet(type=Packet.PACKET_DATA, ID=number).SerializeToString())
                    continue
                self._open = (number, self._start(number), 0)
            number, descriptor, done = self._open
            try:
                data = os.read(descriptor, _DATA_SIZE)
            except OSError as error:
                raise self._changed(number, f"cannot be read: {error.strerror}") from error
            frames += frame(Packet(type=Packet.PACKET_DATA, ID=number, data=data).SerializeToString())
            if data:
                self._open = (number, descriptor, done + len(data))
            else:
                self._finish(number, descriptor, done)
        return bytes(frames)

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _is_socket(self, number: int) -> bool:
        """A socket cannot be opened; it was announced as an empty file."""
        try:
            path, size, _ = self._table[number]
            return size == 0 and stat.S_ISSOCK(os.lstat(self._root + b"/" + path).st_mode)
        except (IndexError, OSError):
            return False

    def _start(self, number: int) -> int:
        try:
            path, size, modified = self._table[number]
        except IndexError as error:
            raise ProtocolViolation(f"the daemon asks for file {number}, which was not announced") from error
        try:
            # A named pipe that took the file's place must not block the open.
            descriptor = os.open(self._root + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise self._changed(number, "vanished while the context was read") from error
        except OSError as error:
            raise self._changed(number, f"cannot be read: {error.strerror}") from error
        now = os.fstat(descriptor)
        if (now.st_size, now.st_mtime_ns) != (size, modified):
            os.close(descriptor)
            raise self._changed(number, "changed while the context was read")
        return descriptor

    def _finish(self, number: int, descriptor: int, done: int) -> None:
        _, size, modified = self._table[number]
        now = os.fstat(descriptor)
        self.close()
        if done != size or now.st_mtime_ns != modified:
            raise self._changed(number, "changed while the context was read")

    def _changed(self, number: int, what: str) -> ContextError:
        return ContextError(f"the build context's {os.fsdecode(self._table[number][0])!r} {what}")


class _Transfer:
    def __init__(self, call: ServerCall, root: Path, selection: Selection) -> None:
        self._call = call
        self._root = root
        self._selection = selection
        self._table = _FileTable()
        self._reader = _Reader(root, self._table)
        self._asked = asyncio.Event()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_stats())
                sender = tasks.create_task(self._send_files())
                await self._serve_requests()
                sender.cancel()
        except BaseExceptionGroup as group:
            raise cause_of(group) from None
        finally:
            self._reader.close()

    async def _serve_requests(self) -> None:
        while (message := await self._call.receive()) is not None:
            packet = decode(Packet, message)
            if packet.type == Packet.PACKET_REQ:
                self._reader.requests.append(packet.ID)
                self._asked.set()
            elif packet.type == Packet.PACKET_FIN:
                await self._call.send_framed(frame(Packet(type=Packet.PACKET_FIN).SerializeToString()))
                return
            elif packet.type == Packet.PACKET_ERR:
                raise GrpcError(Code.UNKNOWN, "error from receiver")
        raise GrpcError(Code.CANCELLED, "the transfer was given up")

    async def _send_stats(self) -> None:
        try:
            stats = await in_thread(lambda: walk(self._root, self._selection))
            while frames := await in_thread(lambda: self._next_stats(stats)):
                await self._call.send_framed(frames)
        except PatternError as error:
            raise GrpcError(Code.INVALID_ARGUMENT, str(error)) from error
        await self._call.send_framed(frame(Packet(type=Packet.PACKET_STAT).SerializeToString()))

    def _next_stats(self, stats: Iterator[Stat]) -> bytes:
        frames = bytearray()
        for entry in islice(stats, _STATS_AT_ONCE):
            self._table.add(entry)
            frames += frame(Packet(type=Packet.PACKET_STAT, stat=entry).SerializeToString())
        return bytes(frames)

    async def _send_files(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            while frames := await in_thread(self._reader.next_frames):
                await self._call.send_framed(frames)


def _first(values: list[str]) -> str:
    return values[0] if values else ""

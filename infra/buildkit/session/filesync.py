"""Sends a directory to the daemon: FileSync/DiffCopy, the protocol of tonistiigi/fsutil (`send.go`).

STAT packets in walk order, an empty STAT after the last; for each REQ(ID = position in that order) DATA packets and an
empty one; FIN is answered by FIN; ERR with a text ends it from either side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from urllib.parse import unquote_plus

from prefect_slipway.infra.buildkit.files.ignore import PatternError
from prefect_slipway.infra.buildkit.files.packets import stat_packet
from prefect_slipway.infra.buildkit.files.reader import FileReader, FileTable
from prefect_slipway.infra.buildkit.files.walk import Selection, has_content, walk
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler, ServerCall, decode, frame
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Packet, Stat
from prefect_slipway.infra.common.tasks import cause_of, in_thread
from prefect_slipway.infra.domain.errors import ContextError
from prefect_slipway.infra.domain.options import parse_bool

_STATS_AT_ONCE = 256
# As the daemon calls it. Others may lie outside of git.
_MAIN = "context"
_NS = 1_000_000_000
# Less than a second; two times of one file have the same remainder only by an accident.
_PRIME = 999_999_937


class FileSync:
    """Serves directories by name. `failure`: the ContextError that ended a transfer, which the daemon only retells.
    `git_modes`: see `BuildRequest`. `clamped_to`: seconds, the time that the exporter gives to all files that are newer
    (rewrite-timestamp); older ones, as a work tree has them, become newer, so that all get that one time."""

    def __init__(
        self, directories: Mapping[str, Path], *, git_modes: bool = False, clamped_to: int | None = None
    ) -> None:
        self._directories = directories
        self._git_modes = git_modes
        self._clamped_to = clamped_to
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
            git_modes=self._git_modes,
            no_empty=self._git_modes and name == _MAIN,
        )
        try:
            await _Transfer(call, directory, selection, self._clamped_to).run()
        except ContextError as error:
            self.failure = self.failure or error
            packet = Packet(type=Packet.PACKET_ERR, data=error.cause.encode(errors="replace"))
            await call.send_framed(frame(packet.SerializeToString()))
            raise GrpcError(Code.UNKNOWN, error.cause) from error


def decoded(metadata: Mapping[str, list[str]], key: str) -> list[str]:
    """The values of `key`, unescaped if its twin `KEY-encoded` says so (session/filesync/filesync.go)."""
    values = metadata.get(key, [])
    if parse_bool(_first(metadata.get(f"{key}-encoded", []))):
        return [unquote_plus(value, errors="surrogateescape") for value in values]
    return values


class _Transfer:
    def __init__(self, call: ServerCall, root: Path, selection: Selection, clamped_to: int | None) -> None:
        self._call = call
        self._oldest = clamped_to * _NS + 1 if clamped_to is not None else None
        self._root = root
        self._selection = selection
        self._table = FileTable()
        self._reader = FileReader(root, self._table)
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
            raise ContextError(f".dockerignore: {error}", action="fix that pattern") from error
        await self._call.send_framed(stat_packet(b""))

    def _next_stats(self, stats: Iterator[Stat]) -> bytes:
        frames = bytearray()
        for entry in islice(stats, _STATS_AT_ONCE):
            self._table.add(entry.path if has_content(entry.mode) else b"", entry.size, entry.modTime)
            if self._oldest is not None and entry.modTime < self._oldest:
                # Within the second, as the daemon compares times to know which files have changed.
                entry.modTime = self._oldest + entry.modTime % _PRIME
            frames += stat_packet(entry.SerializeToString())
        return bytes(frames)

    async def _send_files(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            while pieces := await in_thread(self._reader.next_pieces):
                await self._call.send_framed(*pieces)


def _first(values: list[str]) -> str:
    return values[0] if values else ""

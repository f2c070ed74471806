"""An engine's BuildKit as if it ran on another machine: what it says to `ListWorkers` is replaced, the rest goes
through as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hpack import Decoder

from prefect_slipway.infra.buildkit.wire.control_pb2 import ListWorkersResponse
from tests.contract.buildkit.relay import Relay, Streams, upgraded

_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_DATA, _HEADERS = 0x0, 0x1
_PRIORITY = 0x20
_CONTROL = "/moby.buildkit.v1.Control/"


class DeclaringRelay(Relay):
    """A buildkitd that lists `platforms`, its own first. `calls`: the methods of Control that were called, in their
    order; `solving`: a build has been asked for. `lost_at`: the method at whose next call all connections break, and
    nobody is there any more. `beside`: a node that has to be asked for a build before one begins here."""

    def __init__(self, engine: Path, *platforms: str) -> None:
        super().__init__(self._open)
        self.calls: list[str] = []
        self.solving = asyncio.Event()
        self.lost_at: str | None = None
        self.beside: DeclaringRelay | None = None
        self._engine = engine
        self._platforms = platforms

    async def _open(self) -> Streams:
        return declaring(await upgraded(self._engine), self._platforms, self._called, self._ready)

    async def _ready(self) -> None:
        if self.solving.is_set() and self.beside is not None:
            await self.beside.solving.wait()

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if method == "Solve":
            self.solving.set()
        if method == self.lost_at:
            self.close()
            self.cut()


async def _at_once() -> None:
    pass


def declaring(
    engine: Streams,
    platforms: Sequence[str],
    called: Callable[[str], None] = lambda _: None,
    ready: Callable[[], Awaitable[None]] = _at_once,
) -> Streams:
    """A connection to an engine's BuildKit that lists these platforms. `called`: told each method that is called;
    `ready`: waited for before anything goes to the engine."""
    spy = _Spy(*engine, _answer(platforms), called, ready)
    return cast(asyncio.StreamReader, spy), cast(asyncio.StreamWriter, spy)


class _Spy:
    """Both ends of a connection to the engine: reads what a client says in HTTP/2 frames (RFC 9113), and replaces the
    data of the streams on which it asked for the workers."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: bytes,
        called: Callable[[str], None],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._called = called
        self._ready = ready
        self._waiting = bytearray()
        self._decoder = Decoder()
        self._said = bytearray()
        self._heard = bytearray()
        self._greeted = False
        self._asked: set[int] = set()
        self._answered: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        self._said += data
        if not self._greeted and len(self._said) >= _PREFACE:
            del self._said[:_PREFACE]
            self._greeted = True
        for frame in _whole_frames(self._said) if self._greeted else ():
            if frame.kind == _HEADERS:
                block = self._decoder.decode(frame.payload[5 if frame.flags & _PRIORITY else 0 :])
                method = next(str(value) for name, value in block if str(name) == ":path").removeprefix(_CONTROL)
                if method == "ListWorkers":
                    self._asked.add(frame.stream)
                self._called(method)
        self._waiting += data

    async def drain(self) -> None:
        await self._ready()
        self._writer.write(bytes(self._waiting))
        self._waiting.clear()
        await self._writer.drain()

    async def read(self, _: int) -> bytes:
        passed = bytearray()
        while not passed:
            data = await self._reader.read(1 << 16)
            if not data:
                return b""
            self._heard += data
            for frame in _whole_frames(self._heard):
                if frame.kind != _DATA or frame.stream not in self._asked:
                    passed += frame.raw
                elif frame.stream not in self._answered:
                    self._answered.add(frame.stream)
                    passed += len(self._answer).to_bytes(3) + frame.raw[3:9] + self._answer
        return bytes(passed)


def _whole_frames(buffer: bytearray) -> list[Any]:
    """Take the frames that have come as a whole."""
    frames = []
    while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3])):
        raw = bytes(buffer[:end])
        stream = int.from_bytes(raw[5:9]) & 0x7FFFFFFF
        frames.append(SimpleNamespace(kind=raw[3], flags=raw[4], stream=stream, payload=raw[9:], raw=raw))
        del buffer[:end]
    return frames


def _answer(platforms: Sequence[str]) -> bytes:
    """A gRPC message: one worker with these platforms."""
    response = ListWorkersResponse()
    record = response.record.add(ID="declared")
    for text in platforms:
        system, architecture, variant = (*text.split("/"), "")[:3]
        record.platforms.add(OS=system, Architecture=architecture, Variant=variant)
    message = response.SerializeToString()
    return b"\0" + len(message).to_bytes(4) + message

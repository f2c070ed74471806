"""One stream of an HTTP/2 connection: what was received and not read yet, what is to be sent and has no window yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import h2.errors

if TYPE_CHECKING:
    from infra.buildkit.http2 import Http2Connection

Headers = list[tuple[bytes, bytes]]

_SEND_BUFFER = 1 << 20


class ConnectionLost(Exception):
    """The connection ended while something still needed it. `mute`: the other side has never sent a byte."""

    def __init__(self, reason: str, *, mute: bool = False) -> None:
        super().__init__(reason)
        self.mute = mute


class ProtocolViolation(Exception):
    """The other side does not speak HTTP/2, or not gRPC on it."""


class StreamReset(Exception):
    """The other side gave the stream up. `code`: an HTTP/2 error code (RFC 9113 section 7)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stream reset with code {code}")
        self.code = code


class Http2Stream:
    """One stream. `headers` are the request's (as server) or the response's (as client, once they came)."""

    def __init__(self, connection: Http2Connection, stream_id: int) -> None:
        self.id = stream_id
        self.headers: Headers = []
        self.trailers: Headers = []
        self.on_reset: Callable[[], object] | None = None
        self._connection = connection
        self._received: deque[tuple[bytes, int]] = deque()
        self._readable = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self.outgoing = bytearray()
        self.finish: Callable[[], None] | None = None
        self._writable = asyncio.Event()

    async def read(self) -> bytes | None:
        """The next piece of data, None at the stream's end. Raises ConnectionLost, ProtocolViolation or StreamReset."""
        while not self._received:
            if self._ended:
                return None
            if self._error is not None:
                raise self._error
            self._readable.clear()
            await self._readable.wait()
        data, size = self._received.popleft()
        self._connection.acknowledge(self.id, size)
        return data

    async def write(self, data: bytes) -> None:
        """Queue `data`; waits while too much is queued. Raises as `read` does."""
        if self._error is not None:
            raise self._error
        self.outgoing += data
        self._connection.schedule(self)
        while len(self.outgoing) > _SEND_BUFFER:
            self._writable.clear()
            await self._writable.wait()
            if self._error is not None:
                raise self._error

    def end(self, trailers: Headers | None = None) -> None:
        """Say that nothing more comes, after all that is queued."""
        self.finish = lambda: self._connection.end_stream(self.id, trailers)
        self._connection.schedule(self)

    def reset(self, code: h2.errors.ErrorCodes = h2.errors.ErrorCodes.CANCEL) -> None:
        """Give the stream up, in both directions; does nothing if it is over."""
        self.outgoing.clear()
        self.finish = None
        self.discard_received()
        self._connection.reset_stream(self.id, code)
        if self._error is None:
            self._error = StreamReset(code)
        self._readable.set()
        self._writable.set()

    # The connection's side ------------------------------------------------------------------------------------

    def discard_received(self) -> None:
        for _, size in self._received:
            self._connection.acknowledge(self.id, size)
        self._received.clear()

    def feed(self, data: bytes, size: int) -> None:
        self._received.append((data, size))
        self._readable.set()

    def feed_end(self) -> None:
        self._ended = True
        self._readable.set()

    def sent(self) -> None:
        if len(self.outgoing) <= _SEND_BUFFER // 2:
            self._writable.set()

    def fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self.outgoing.clear()
        self.finish = None
        self._readable.set()
        self._writable.set()
        if self.on_reset is not None:
            self.on_reset()

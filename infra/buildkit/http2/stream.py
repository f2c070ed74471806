"""One stream of an HTTP/2 connection: received data that is unread, and data that waits for a window to be sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from prefect_slipway.infra.buildkit.http2.errors import ConnectionLost, ErrorCode, ProtocolViolation, StreamReset
from prefect_slipway.infra.buildkit.http2.frames import LARGEST_WINDOW, Buffer, ReceiveWindow, SendBuffer
from prefect_slipway.infra.buildkit.http2.headers import Headers

__all__ = ["ConnectionLost", "Headers", "Http2Stream", "ProtocolViolation", "StreamReset"]

_SEND_BUFFER = 4 << 20


class Owner(Protocol):
    """The connection, as its streams use it."""

    def schedule(self, stream: Http2Stream) -> None:
        """The stream has something to send."""

    def acknowledge(self, stream: Http2Stream, size: int) -> None:
        """`size` bytes of the stream's data were consumed, or will never be."""

    def end_stream(self, stream: Http2Stream, trailers: Headers | None) -> None:
        """Tell the other side that nothing more comes."""

    def reset_stream(self, stream: Http2Stream, code: int) -> None:
        """Tell the other side that the stream is abandoned."""


class Http2Stream:
    """One stream. `headers` are the request's (as server) or the response's (as client, once they came)."""

    def __init__(self, connection: Owner, stream_id: int, *, send_window: int, receive_window: int) -> None:
        self.id = stream_id
        self.headers: Headers = []
        self.trailers: Headers = []
        self.on_reset: Callable[[], object] | None = None
        self._connection = connection
        self._received: deque[tuple[bytes, int]] = deque()
        self._readable = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self._writable = asyncio.Event()
        self.outgoing = SendBuffer()
        self.finish: Callable[[], None] | None = None
        self.send_window = send_window
        self.receive_window = ReceiveWindow(receive_window)
        # Which side has said its last: then RFC 9113 section 5.1 calls the stream half-closed, or closed.
        self.sent_end = False
        self.received_end = False

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
        self._connection.acknowledge(self, size)
        return data

    async def write(self, *pieces: Buffer) -> None:
        """Queue the pieces, which must not change any more; waits while too much is queued. Raises as `read` does."""
        if self._error is not None:
            raise self._error
        for piece in pieces:
            self.outgoing.append(piece)
        self._connection.schedule(self)
        while len(self.outgoing) > _SEND_BUFFER:
            self._writable.clear()
            await self._writable.wait()
            if self._error is not None:
                raise self._error

    def end(self, trailers: Headers | None = None) -> None:
        """Say that nothing more comes, after all that is queued."""
        self.finish = lambda: self._connection.end_stream(self, trailers)
        self._connection.schedule(self)

    def reset(self, code: int = ErrorCode.CANCEL) -> None:
        """Give the stream up, in both directions; does nothing if it is over."""
        self.outgoing.clear()
        self.finish = None
        self.discard_received()
        self._connection.reset_stream(self, code)
        if self._error is None:
            self._error = StreamReset(code)
        self._readable.set()
        self._writable.set()

    # The connection's side ------------------------------------------------------------------------------------

    def discard_received(self) -> None:
        for _, size in self._received:
            self._connection.acknowledge(self, size)
        self._received.clear()

    def feed(self, data: bytes, size: int) -> None:
        """`data` came, in a frame that takes `size` bytes of the window."""
        if self.received_end:
            raise ProtocolViolation("data after a stream's end")
        self.receive_window.take(size)
        self._received.append((data, size))
        self._readable.set()

    def feed_end(self) -> None:
        self._ended = self.received_end = True
        self._readable.set()

    def widen(self, increment: int) -> None:
        """The other side takes `increment` bytes more (fewer, if below 0)."""
        self.send_window += increment
        if self.send_window > LARGEST_WINDOW:
            raise ProtocolViolation("a stream's window beyond its limit")

    def sent(self) -> None:
        if len(self.outgoing) <= _SEND_BUFFER // 2:
            self._writable.set()

    def fail(self, error: Exception) -> None:
        self.sent_end = self.received_end = True
        if self._error is None:
            self._error = error
        self.outgoing.clear()
        self.finish = None
        self._readable.set()
        self._writable.set()
        if self.on_reset is not None:
            self.on_reset()

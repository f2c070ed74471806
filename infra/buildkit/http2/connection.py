"""HTTP/2 over any byte stream, in either role (RFC 9113): `frames` cuts the bytes, `hpack` reads the headers.

One task reads, one writes, one watches that the other side is alive. Senders append to their stream's buffer and the
writer puts what has gathered there into frames that fill the flow-control windows, so many small messages leave in one
write. Both directions are bounded: a sender waits while its buffer is full, and a peer gets new window only for data
that was consumed. Written out rather than built on a state machine such as `h2`, because the context of a build passes
through it twice (the session's connection runs inside a stream of the daemon's), in frames of 16 KiB.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import NamedTuple, Self

from hpack import Encoder

from prefect_slipway.infra.buildkit.http2 import frames
from prefect_slipway.infra.buildkit.http2.byte_stream import ByteStream
from prefect_slipway.infra.buildkit.http2.errors import ConnectionLost, ErrorCode, ProtocolViolation, StreamReset
from prefect_slipway.infra.buildkit.http2.frames import Buffer, FrameReader, ReceiveWindow
from prefect_slipway.infra.buildkit.http2.headers import MAX_HEADERS, HeaderList, HeaderReader, Headers
from prefect_slipway.infra.buildkit.http2.stream import Http2Stream
from prefect_slipway.infra.common.reasons import reason
from prefect_slipway.infra.common.tasks import cause_of

_STREAM_WINDOW = 4 << 20
_CONNECTION_WINDOW = 32 << 20
_MAX_FRAME = 1 << 20
# The most that one stream puts into a write before the next one has its turn.
_SLICE = 1 << 20
# RFC 9113 section 6.5.2.
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _MAX_STREAMS, _INITIAL_WINDOW, _FRAME_SIZE, _HEADER_LIST_SIZE = range(1, 7)
_DEFAULT_HEADER_TABLE = 4096


class Keepalive(NamedTuple):
    """After `idle_s` seconds without a byte a PING is sent; after `timeout_s` more without one the connection is lost.

    BuildKit's session asks for a sign of health every 5 s (session/grpc.go), so with an open session a PING is rare;
    that matters because a grpc-go server closes a connection that pings much without traffic ("too_many_pings").
    """

    idle_s: float = 12.0
    timeout_s: float = 15.0


class Http2Connection:
    """An async context manager around one connection; leaving it closes the byte stream.

    `on_stream`: called with each stream the other side opens (server role); None in the client role.
    `keepalive`: None to leave watching to something else.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        on_stream: Callable[[Http2Stream], None] | None = None,
        keepalive: Keepalive | None = None,
    ) -> None:
        self._stream = stream
        self._on_stream = on_stream
        self._keepalive = keepalive
        self._reader = FrameReader(_MAX_FRAME)
        self._encoder = Encoder()
        self._headers = HeaderReader()
        self._peer_window = frames.DEFAULT_WINDOW
        self._peer_max_frame = frames.DEFAULT_MAX_FRAME
        self._send_window = frames.DEFAULT_WINDOW
        self._receive_window = ReceiveWindow(_CONNECTION_WINDOW)
        self._last_stream = 0
        self._streams: dict[int, Http2Stream] = {}
        self._sending: dict[int, Http2Stream] = {}
        self._out: list[Buffer] = []
        self._wake = asyncio.Event()
        self._bytes_seen = 0
        self._over: Exception | None = None
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        values = {
            _INITIAL_WINDOW: _STREAM_WINDOW,
            _FRAME_SIZE: _MAX_FRAME,
            _HEADER_LIST_SIZE: MAX_HEADERS,
        }
        if self._on_stream is None:
            self._out.append(frames.PREFACE)
            values[_ENABLE_PUSH] = 0
        else:
            values[_MAX_STREAMS] = 1000
        self._send(frames.settings(values))
        self._send(frames.window_update(0, _CONNECTION_WINDOW - frames.DEFAULT_WINDOW))
        self._runner = asyncio.create_task(self._run(), name="http2")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            self._runner.cancel()
            try:
                await asyncio.wait([self._runner])
            finally:
                self._fail(ConnectionLost("the connection was closed"))
                await self._stream.close()
            if not self._runner.cancelled():
                self._runner.result()  # raises what is a bug; what the other side did has been told to the streams

    async def wait_over(self) -> None:
        """Return when the connection has ended."""
        if self._runner is not None:
            await asyncio.wait([self._runner])

    def open_stream(self, headers: Headers) -> Http2Stream:
        """Open a stream (client role). Raises ConnectionLost or ProtocolViolation if the connection is over."""
        if self._over is not None:
            raise self._over
        self._last_stream = self._last_stream + 2 if self._last_stream else 1
        stream = self._new_stream(self._last_stream)
        self.send_headers(stream, headers)
        return stream

    def send_headers(self, stream: Http2Stream, headers: Headers, *, end: bool = False) -> None:
        """Send a request's or an answer's `headers`; nothing happens if the stream is over."""
        if not stream.sent_end:
            block = self._encoder.encode(headers)
            self._send(frames.headers(stream.id, block, self._peer_max_frame, end=end))
            stream.sent_end = end
        if end:
            self.forget(stream.id)

    def forget(self, stream_id: int) -> None:
        """The stream has served; frees what is kept for it."""
        self._sending.pop(stream_id, None)
        if (stream := self._streams.pop(stream_id, None)) is not None:
            stream.discard_received()

    # The stream's side ----------------------------------------------------------------------------------------

    def schedule(self, stream: Http2Stream) -> None:
        self._sending[stream.id] = stream
        self._wake.set()

    def acknowledge(self, stream: Http2Stream, size: int) -> None:
        """`size` bytes of the stream's data were consumed, or will never be."""
        if (due := stream.receive_window.give_back(size)) and not stream.received_end:
            self._send(frames.window_update(stream.id, due))
        self._acknowledge_connection(size)

    def end_stream(self, stream: Http2Stream, trailers: Headers | None) -> None:
        if trailers is not None:
            self.send_headers(stream, trailers, end=True)
        elif not stream.sent_end:
            self._send(frames.frame(frames.DATA, frames.END_STREAM, stream.id))
            stream.sent_end = True

    def reset_stream(self, stream: Http2Stream, code: int) -> None:
        if not (stream.sent_end and stream.received_end):
            self._send(frames.frame(frames.RST_STREAM, 0, stream.id, code.to_bytes(4, "big")))
            stream.sent_end = stream.received_end = True

    # Tasks ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_loop())
                tasks.create_task(self._write_loop())
                if self._keepalive is not None:
                    tasks.create_task(self._watch(self._keepalive))
        except BaseExceptionGroup as group:
            error = cause_of(group)
            if isinstance(error, OSError):
                lost = ConnectionLost(f"the connection broke ({reason(error)})", mute=self._bytes_seen == 0)
                lost.__cause__ = error
                error = lost
            if not isinstance(error, ConnectionLost | ProtocolViolation):
                raise
            self._fail(error)
        finally:
            self._fail(ConnectionLost("the connection was closed"))

    def _fail(self, error: Exception) -> None:
        if self._over is None:
            self._over = error
        streams, self._streams, self._sending = [*self._streams.values()], {}, {}
        for stream in streams:
            stream.fail(self._over)

    async def _read_loop(self) -> None:
        self._receive(await self._greeting())
        while True:
            self._receive(await self._read())

    async def _greeting(self) -> bytes:
        """The first bytes: a client starts with the preface, a server with SETTINGS (RFC 9113 section 3.4)."""
        data = b""
        while len(data) < len(frames.PREFACE):
            data += await self._read()
            if self._on_stream is None:
                # Anything else that listens has not sent a frame's type there.
                if data[3:4] not in {b"", bytes([frames.SETTINGS])}:
                    raise ProtocolViolation("it does not speak HTTP/2")
                return data
            if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise ProtocolViolation("it does not speak HTTP/2")
        return data[len(frames.PREFACE) :]

    async def _read(self) -> bytes:
        data = await self._stream.read()
        if not data:
            raise ConnectionLost("the other side closed the connection", mute=self._bytes_seen == 0)
        self._bytes_seen += len(data)
        return data

    async def _write_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while True:
                self._fill()
                if not self._out:
                    break
                out, self._out = self._out, []
                await self._stream.write(b"".join(out))

    async def _watch(self, keepalive: Keepalive) -> None:
        while True:
            seen = self._bytes_seen
            await asyncio.sleep(keepalive.idle_s)
            if self._bytes_seen != seen:
                continue
            self._send(frames.frame(frames.PING, 0, 0, b"slipway?"))
            while self._bytes_seen == seen:
                due = time.monotonic() + keepalive.timeout_s
                await asyncio.sleep(keepalive.timeout_s)
                # A loop that was itself held up has had no chance to read: then wait once more.
                if self._bytes_seen == seen and time.monotonic() - due < keepalive.timeout_s / 2:
                    raise ConnectionLost(f"no response for {keepalive.idle_s + keepalive.timeout_s:g} s")

    # Sending --------------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        self._out.append(data)
        self._wake.set()

    def _fill(self) -> None:
        """Move what the windows allow from the streams' buffers into frames, a slice of each stream at a time."""
        for stream in tuple(self._sending.values()):
            size = min(len(stream.outgoing), stream.send_window, self._send_window, _SLICE)
            if size > 0:
                stream.outgoing.move_to(self._out, stream.id, size, self._peer_max_frame)
                stream.send_window -= size
                self._send_window -= size
            if not stream.outgoing:
                self._sending.pop(stream.id, None)
                if stream.finish is not None:
                    finish, stream.finish = stream.finish, None
                    finish()
            stream.sent()

    # Receiving ------------------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        for kind, flags, stream_id, body in self._reader.feed(data):
            if self._headers.expects_more and kind != frames.CONTINUATION:
                raise ProtocolViolation("a header block that was interrupted")
            handle = _HANDLERS.get(kind)
            if handle is not None:  # frames of unknown types are to be ignored
                handle(self, flags, stream_id, body)
        self._wake.set()

    def _on_data(self, flags: int, stream_id: int, body: memoryview) -> None:
        self._receive_window.take(len(body))
        stream = self._streams.get(stream_id)
        if stream is None:
            self._known(stream_id)
            self._acknowledge_connection(len(body))
            return
        stream.feed(bytes(frames.unpadded(flags, body)), len(body))
        if flags & frames.END_STREAM:
            stream.feed_end()

    def _on_headers(self, flags: int, stream_id: int, body: memoryview) -> None:
        self._on_header_list(self._headers.begin(flags, stream_id, body))

    def _on_continuation(self, flags: int, stream_id: int, body: memoryview) -> None:
        self._on_header_list(self._headers.go_on(flags, stream_id, body))

    def _on_header_list(self, complete: HeaderList | None) -> None:
        if complete is None:
            return
        stream_id, headers, end = complete
        stream = self._streams.get(stream_id)
        if stream is None:
            if self._on_stream is None or stream_id <= self._last_stream:
                self._known(stream_id)
                return
            if stream_id % 2 == 0:
                raise ProtocolViolation("a client's stream with a server's number")
            self._last_stream = stream_id
            stream = self._new_stream(stream_id)
            stream.headers = headers
            self._on_stream(stream)
        elif stream.received_end:
            raise ProtocolViolation("headers after a stream's end")
        elif stream.headers:
            stream.trailers = headers
        elif not (headers and headers[0][0] == b":status" and headers[0][1].startswith(b"1")):
            stream.headers = headers
        if end:
            stream.feed_end()

    def _on_reset(self, _: int, stream_id: int, body: memoryview) -> None:
        if len(body) != 4:
            raise ProtocolViolation("a RST_STREAM of another size than 4")
        if (stream := self._streams.get(stream_id)) is not None:
            stream.fail(StreamReset(int.from_bytes(body, "big")))

    def _on_settings(self, flags: int, stream_id: int, body: memoryview) -> None:
        if stream_id or len(body) % 6:
            raise ProtocolViolation("SETTINGS that are none")
        if flags & frames.ACK:
            return
        for key, value in struct.iter_unpack(">HI", body):
            if key == _HEADER_TABLE_SIZE:
                self._encoder.header_table_size = min(value, _DEFAULT_HEADER_TABLE)
            elif key == _INITIAL_WINDOW:
                if value > frames.LARGEST_WINDOW:
                    raise ProtocolViolation("an initial window beyond its limit")
                for stream in self._streams.values():
                    stream.widen(value - self._peer_window)
                self._peer_window = value
            elif key == _FRAME_SIZE:
                if not frames.DEFAULT_MAX_FRAME <= value <= frames.LARGEST_MAX_FRAME:
                    raise ProtocolViolation("a frame size beyond its limits")
                self._peer_max_frame = value
        self._send(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _on_push(self, *_: object) -> None:
        raise ProtocolViolation("a push, although that was switched off")

    def _on_ping(self, flags: int, _: int, body: memoryview) -> None:
        if len(body) != 8:
            raise ProtocolViolation("a PING of another size than 8")
        if not flags & frames.ACK:
            self._send(frames.frame(frames.PING, frames.ACK, 0, bytes(body)))

    def _on_goaway(self, _flags: int, _: int, body: memoryview) -> None:
        """A server that shuts down in good order still serves the streams it has accepted (RFC 9113 section 6.8)."""
        if len(body) < 8:
            raise ProtocolViolation("a GOAWAY that is cut")
        last, code = struct.unpack_from(">II", body)
        if code != ErrorCode.NO_ERROR:
            raise ConnectionLost(f"the other side ended the connection ({ErrorCode.name_of(code)})")
        self._over = ConnectionLost("the daemon is shutting down")
        for stream_id in [i for i in self._streams if i > last & frames.LARGEST_WINDOW]:
            self._streams.pop(stream_id).fail(self._over)

    def _on_window_update(self, _: int, stream_id: int, body: memoryview) -> None:
        if len(body) != 4:
            raise ProtocolViolation("a WINDOW_UPDATE of another size than 4")
        increment = int.from_bytes(body, "big")
        if stream_id == 0:
            self._send_window += increment
            if self._send_window > frames.LARGEST_WINDOW:
                raise ProtocolViolation("the connection's window beyond its limit")
        elif (stream := self._streams.get(stream_id)) is not None:
            stream.widen(increment)

    def _known(self, stream_id: int) -> None:
        """Late late frames of an abandoned stream are normal; others are not."""
        if not 0 < stream_id <= self._last_stream:
            raise ProtocolViolation("a frame of a stream that was never opened")

    def _new_stream(self, stream_id: int) -> Http2Stream:
        stream = Http2Stream(self, stream_id, send_window=self._peer_window, receive_window=_STREAM_WINDOW)
        self._streams[stream_id] = stream
        return stream

    def _acknowledge_connection(self, size: int) -> None:
        if due := self._receive_window.give_back(size):
            self._send(frames.window_update(0, due))


_HANDLERS: dict[int, Callable[[Http2Connection, int, int, memoryview], None]] = {
    frames.DATA: Http2Connection._on_data,
    frames.HEADERS: Http2Connection._on_headers,
    frames.CONTINUATION: Http2Connection._on_continuation,
    frames.RST_STREAM: Http2Connection._on_reset,
    frames.SETTINGS: Http2Connection._on_settings,
    frames.PUSH_PROMISE: Http2Connection._on_push,
    frames.PING: Http2Connection._on_ping,
    frames.GOAWAY: Http2Connection._on_goaway,
    frames.WINDOW_UPDATE: Http2Connection._on_window_update,
}
"""What each frame type does."""

"""HTTP/2 over any byte stream, in either role: `h2` keeps the protocol's state, this module moves the bytes.

One task reads, one writes, one watches that the other side is alive. Senders append to their stream's buffer and the
writer puts what has gathered there into frames that fill the flow-control windows, so many small messages leave in one
write. Both directions are bounded: a sender waits while its buffer is full, and a peer gets new window only for data
that was consumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from infra.buildkit.frames import WindowUpdates
from infra.buildkit.http2_stream import ConnectionLost, Headers, Http2Stream, ProtocolViolation, StreamReset
from infra.buildkit.tasks import cause_of
from infra.buildkit.transport import ByteStream

_STREAM_WINDOW = 4 << 20
_CONNECTION_WINDOW = 32 << 20
# A server speaks first, with a SETTINGS frame (RFC 9113 section 3.4); the type is a frame's fourth byte.
_SETTINGS = b"\x04"
_MAX_FRAME = 1 << 20
# A session call carries every pattern of a .dockerignore as a header.
_MAX_HEADERS = 4 << 20
_DEFAULT_WINDOW = 65535  # RFC 9113 section 6.9.2
_SLICE = 1 << 18


@dataclass(frozen=True, slots=True)
class Keepalive:
    """After `idle_s` seconds without a byte a PING is sent; after `timeout_s` more without one the connection is lost.

    BuildKit's session asks for a sign of health every 5 s (session/grpc.go), so with an open session a PING is rare;
    that matters because a grpc-go server closes a connection that pings much without traffic ("too_many_pings").
    """

    idle_s: float = 12.0
    timeout_s: float = 15.0


class _StateMachine(h2.connection.H2Connection):
    def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[h2.events.Event]]:
        # h2 closes the whole connection on GOAWAY; a server that shuts down in good order (NO_ERROR) still serves the
        # streams it has accepted (RFC 9113 section 6.8).
        if frame.error_code != h2.errors.ErrorCodes.NO_ERROR:
            return super()._receive_goaway_frame(frame)
        event = h2.events.ConnectionTerminated()
        event.error_code = h2.errors.ErrorCodes.NO_ERROR
        event.last_stream_id = frame.last_stream_id
        return [], [event]


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
        # Inbound validation refuses header values with spaces at their ends, which grpc-go sends (a path " x").
        self._h2 = _StateMachine(
            h2.config.H2Configuration(
                client_side=on_stream is None, header_encoding=None, validate_inbound_headers=False
            )
        )
        self._h2.local_settings = h2.settings.Settings(
            client=on_stream is None,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                h2.settings.SettingCodes.MAX_FRAME_SIZE: _MAX_FRAME,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADERS,
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1000,
            },
        )
        # Both are fixed in h2's constructor, from its defaults.
        self._h2.max_inbound_frame_size = _MAX_FRAME
        self._h2.decoder.max_header_list_size = _MAX_HEADERS
        self._streams: dict[int, Http2Stream] = {}
        self._sending: dict[int, Http2Stream] = {}
        self._updates = WindowUpdates()
        self._wake = asyncio.Event()
        self._bytes_seen = 0
        self._over: Exception | None = None
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW - _DEFAULT_WINDOW)
        self._wake.set()
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
        stream = Http2Stream(self, self._h2.get_next_available_stream_id())
        self._streams[stream.id] = stream
        self._h2.send_headers(stream.id, headers)
        self._wake.set()
        return stream

    def send_headers(self, stream: Http2Stream, headers: Headers, *, end: bool = False) -> None:
        """Answer with `headers` (server role); nothing happens if the stream is over."""
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.send_headers(stream.id, headers, end_stream=end)
        if end:
            self.forget(stream.id)
        self._wake.set()

    def forget(self, stream_id: int) -> None:
        """The stream has served; frees what is kept for it."""
        self._sending.pop(stream_id, None)
        if (stream := self._streams.pop(stream_id, None)) is not None:
            stream.discard_received()

    # The stream's side ----------------------------------------------------------------------------------------

    def schedule(self, stream: Http2Stream) -> None:
        self._sending[stream.id] = stream
        self._wake.set()

    def acknowledge(self, stream_id: int, size: int) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.acknowledge_received_data(size, stream_id)
        self._wake.set()

    def end_stream(self, stream_id: int, trailers: Headers | None) -> None:
        if trailers is None:
            self._h2.end_stream(stream_id)
        else:
            self._h2.send_headers(stream_id, trailers, end_stream=True)
            self.forget(stream_id)

    def reset_stream(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.reset_stream(stream_id, code)
        self._wake.set()

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
                reason = error.strerror or type(error).__name__
                lost = ConnectionLost(f"the connection broke off ({reason})", mute=self._bytes_seen == 0)
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
        while True:
            data = await self._stream.read()
            if not data:
                raise ConnectionLost("the other side closed the connection", mute=self._bytes_seen == 0)
            if self._on_stream is None and self._bytes_seen == 0 and data[3:4] not in {b"", _SETTINGS}:
                raise ProtocolViolation("it does not speak HTTP/2")
            self._bytes_seen += len(data)
            try:
                events = self._h2.receive_data(self._updates.join(data))
            except h2.exceptions.ProtocolError as error:
                raise ProtocolViolation(f"not HTTP/2 as RFC 9113 has it ({type(error).__name__})") from error
            for event in events:
                self._handle(event)
            self._wake.set()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            stream = self._streams.get(event.stream_id)
            if stream is None:
                self.acknowledge(event.stream_id, event.flow_controlled_length)
            else:
                stream.feed(event.data, event.flow_controlled_length)
        elif isinstance(event, h2.events.RequestReceived):
            self._accept(event.stream_id, event.headers)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._goaway(event)
        elif isinstance(
            event,
            h2.events.ResponseReceived | h2.events.TrailersReceived | h2.events.StreamEnded | h2.events.StreamReset,
        ):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._handle_stream(stream, event)

    @staticmethod
    def _handle_stream(stream: Http2Stream, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = list(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.feed_end()
        elif isinstance(event, h2.events.StreamReset):
            stream.fail(StreamReset(int(event.error_code)))

    def _accept(self, stream_id: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self._on_stream is None:
            raise ProtocolViolation("a server opened a stream towards its client")
        stream = self._streams[stream_id] = Http2Stream(self, stream_id)
        stream.headers = list(headers)
        self._on_stream(stream)

    def _goaway(self, event: h2.events.ConnectionTerminated) -> None:
        if event.error_code != h2.errors.ErrorCodes.NO_ERROR:
            name = getattr(event.error_code, "name", event.error_code)
            raise ConnectionLost(f"the other side ended the connection ({name})")
        self._over = ConnectionLost("the daemon is shutting down")
        for stream_id in [i for i in self._streams if i > (event.last_stream_id or 0)]:
            self._streams.pop(stream_id).fail(self._over)

    async def _write_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while True:
                self._fill()
                data = self._h2.data_to_send()
                if not data:
                    break
                await self._stream.write(data)

    def _fill(self) -> None:
        """Move what the windows allow from the streams' buffers into frames, a slice of each stream at a time."""
        for stream in tuple(self._sending.values()):
            try:
                self._fill_from(stream)
            except h2.exceptions.ProtocolError:
                # The other side has closed or reset it; its reader learns that from the event.
                stream.outgoing.clear()
                self._sending.pop(stream.id, None)
            stream.sent()

    def _fill_from(self, stream: Http2Stream) -> None:
        if stream.outgoing:
            size = min(len(stream.outgoing), self._h2.local_flow_control_window(stream.id), _SLICE)
            if size <= 0:
                return
            piece = memoryview(stream.outgoing[:size])
            step = self._h2.max_outbound_frame_size
            for start in range(0, size, step):
                self._h2.send_data(stream.id, piece[start : start + step])
            del stream.outgoing[:size]
        if not stream.outgoing:
            self._sending.pop(stream.id, None)
            if stream.finish is not None:
                finish, stream.finish = stream.finish, None
                finish()

    async def _watch(self, keepalive: Keepalive) -> None:
        while True:
            seen = self._bytes_seen
            await asyncio.sleep(keepalive.idle_s)
            if self._bytes_seen != seen:
                continue
            self._h2.ping(b"slipway?")
            self._wake.set()
            while self._bytes_seen == seen:
                due = time.monotonic() + keepalive.timeout_s
                await asyncio.sleep(keepalive.timeout_s)
                # A loop that was itself held up has had no chance to read: then wait once more.
                if self._bytes_seen == seen and time.monotonic() - due < keepalive.timeout_s / 2:
                    raise ConnectionLost(f"no sign of life for {keepalive.idle_s + keepalive.timeout_s:g} s")

"""gRPC on `connection`: calls as a client, and a server for the calls that come through the session tunnel.

Message framing and status: github.com/grpc/grpc doc/PROTOCOL-HTTP2.md; codes: doc/statuscodes.md there.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Protocol, Self, TypeVar
from urllib.parse import unquote_to_bytes

from google.protobuf.message import DecodeError

from prefect_slipway.infra.buildkit.http2.byte_stream import ByteStream
from prefect_slipway.infra.buildkit.http2.connection import Http2Connection, Keepalive
from prefect_slipway.infra.buildkit.http2.frames import Buffer
from prefect_slipway.infra.buildkit.http2.stream import (
    ConnectionLost,
    Headers,
    Http2Stream,
    ProtocolViolation,
    StreamReset,
)
from prefect_slipway.infra.buildkit.wire.rpc_pb2 import Status

# containerd's defaults.DefaultMaxRecvMsgSize, which buildkitd sets for its servers and clients.
MAX_MESSAGE = 16 << 20

_PREFIX = struct.Struct(">BI")
_ESCAPED = re.compile(rb"[^ -$&-~]")


class Code(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_CODES = {int(code): code for code in Code}


class GrpcError(Exception):
    """A call ended with another status than OK. `details`: pairs of a type's URL and its bytes."""

    def __init__(self, code: Code, message: str, details: tuple[tuple[str, bytes], ...] = ()) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.details = details


class Message(Protocol):
    """What a generated protobuf class offers."""

    def SerializeToString(self) -> bytes: ...

    def ParseFromString(self, serialized: bytes, /) -> int: ...


M = TypeVar("M", bound=Message)


def frame(message: bytes) -> bytes:
    """`message` with its length in front, as it goes into DATA frames."""
    return _PREFIX.pack(0, len(message)) + message


def decode(kind: Callable[[], M], data: bytes) -> M:
    """Parse a message. Raises ProtocolViolation."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolViolation("a message that is not what the method returns") from error
    return message


class _MessageReader:
    """Cuts a stream's data into messages."""

    def __init__(self, stream: Http2Stream) -> None:
        self._stream = stream
        self._data = b""
        self._start = 0

    async def next(self) -> bytes | None:
        """The next message, None at the end. Raises as `Http2Stream.read`."""
        if not await self._have(_PREFIX.size):
            return None
        compressed, length = _PREFIX.unpack_from(self._data, self._start)
        if compressed:
            raise ProtocolViolation("a compressed message, although compression was not offered")
        if length > MAX_MESSAGE:
            raise ProtocolViolation(f"a message of {length} bytes, more than gRPC peers of BuildKit accept")
        size = _PREFIX.size + length
        if not await self._have(size):
            raise ProtocolViolation("the stream ended inside a message")
        start, self._start = self._start + _PREFIX.size, self._start + size
        return self._data[start : self._start]

    async def _have(self, size: int) -> bool:
        left = len(self._data) - self._start
        if left >= size:
            return True
        pieces = [self._data[self._start :]]
        while left < size:
            data = await self._stream.read()
            if data is None:
                if left:
                    raise ProtocolViolation("the stream ended inside a message")
                return False
            pieces.append(data)
            left += len(data)
        self._data, self._start = b"".join(pieces), 0
        return True


class ClientCall:
    """One running call."""

    def __init__(self, stream: Http2Stream) -> None:
        self._stream = stream
        self._messages = _MessageReader(stream)

    async def send(self, *pieces: Buffer) -> None:
        """Queue a message, given in pieces; waits while too much is queued. Raises ConnectionLost or StreamReset."""
        await self._stream.write(_PREFIX.pack(0, sum(map(len, pieces))), *pieces)

    async def receive(self) -> bytes | None:
        """The next message, None when the call ended well.

        Raises GrpcError for another status, ConnectionLost or ProtocolViolation.
        """
        try:
            message = await self._messages.next()
        except StreamReset as reset:
            raise GrpcError(Code.UNAVAILABLE, f"the daemon reset the call (HTTP/2 code {reset.code})") from reset
        if message is None:
            _raise_for_status(self._stream)
        return message

    def end(self) -> None:
        """Say that no more messages come from here."""
        self._stream.end()

    def cancel(self) -> None:
        """Cancel the call, and with it the daemon's handler."""
        self._stream.reset()


class GrpcClient:
    """Calls over one connection; an async context manager that closes it."""

    def __init__(self, stream: ByteStream, *, authority: str = "localhost", keepalive: Keepalive | None = None) -> None:
        self._connection = Http2Connection(stream, keepalive=keepalive)
        self._authority = authority

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connection.__aexit__(*exc)

    @asynccontextmanager
    async def call(self, method: str, metadata: Iterable[tuple[str, str]] = ()) -> AsyncIterator[ClientCall]:
        """Start `method` (`/package.Service/Method`); leaving the block cancels the call unless it is over."""
        headers: Headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", method.encode()),
            (b":authority", self._authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"slipway"),
            *((key.encode(), value.encode()) for key, value in metadata),
        ]
        stream = self._connection.open_stream(headers)
        try:
            yield ClientCall(stream)
        finally:
            stream.reset()
            self._connection.forget(stream.id)

    async def unary(
        self, method: str, request: Message, response: Callable[[], M], metadata: Iterable[tuple[str, str]] = ()
    ) -> M:
        """One request, one answer. Raises GrpcError, ConnectionLost or ProtocolViolation."""
        async with self.call(method, metadata) as call:
            await call.send(request.SerializeToString())
            call.end()
            data = await call.receive()
            if data is None:
                raise ProtocolViolation(f"{method} ended without an answer")
            await call.receive()
        return decode(response, data)

    async def stream(self, method: str, request: Message, response: Callable[[], M]) -> AsyncIterator[M]:
        """One request, many answers. Raises as `unary`."""
        async with self.call(method) as call:
            await call.send(request.SerializeToString())
            call.end()
            while (data := await call.receive()) is not None:
                yield decode(response, data)


class ServerCall:
    """A call that came in. `metadata`: values by lower-case key, in their order."""

    def __init__(self, connection: Http2Connection, stream: Http2Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._messages = _MessageReader(stream)
        self._headers_sent = False
        self.method = ""
        self.metadata: dict[str, list[str]] = {}
        for name, value in stream.headers:
            if name == b":path":
                self.method = value.decode(errors="replace")
            elif not name.startswith(b":"):
                # May contain a file name that is not UTF-8 (which grpc-go accepts).
                key = name.decode("latin-1").lower()
                self.metadata.setdefault(key, []).append(value.decode(errors="surrogateescape"))

    async def receive(self) -> bytes | None:
        """The next message, None when the caller is done. Raises ConnectionLost, StreamReset or ProtocolViolation."""
        return await self._messages.next()

    async def send_framed(self, *pieces: bytes) -> None:
        """Queue messages that `frame` has been applied to, cut anywhere; waits while too much is queued."""
        if not self._headers_sent:
            self._headers_sent = True
            self._connection.send_headers(self._stream, _RESPONSE_HEADERS)
        await self._stream.write(*pieces)

    def finish(self, code: Code, message: str = "") -> None:
        """End the call with a status."""
        trailers: Headers = [(b"grpc-status", str(int(code)).encode())]
        if message:
            trailers.append((b"grpc-message", _percent_encode(message)))
        if self._headers_sent:
            self._stream.end(trailers)
        else:
            self._connection.send_headers(self._stream, _RESPONSE_HEADERS + trailers, end=True)


Handler = Callable[[ServerCall], Awaitable[None]]
_RESPONSE_HEADERS: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]


class GrpcServer:
    """Serves `handlers` (by `/package.Service/Method`) on one connection.

    A handler ends a call badly by raising GrpcError; any other exception is a bug and ends the server with it.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    async def serve(self, stream: ByteStream) -> None:
        """Serve until the other side ends the connection."""
        async with asyncio.TaskGroup() as calls:

            def accept(http_stream: Http2Stream) -> None:
                task = calls.create_task(self._handle(connection, http_stream))
                http_stream.on_reset = task.cancel

            connection = Http2Connection(stream, on_stream=accept)
            async with connection:
                await connection.wait_over()

    async def _handle(self, connection: Http2Connection, stream: Http2Stream) -> None:
        call = ServerCall(connection, stream)
        handler = self._handlers.get(call.method)
        try:
            if handler is None:
                raise GrpcError(Code.UNIMPLEMENTED, f"unknown method {call.method}")
            await handler(call)
        except GrpcError as error:
            call.finish(error.code, error.message)
        except (ConnectionLost, StreamReset):
            stream.reset()
        except BaseException:
            call.finish(Code.INTERNAL, "the client failed")
            raise
        else:
            call.finish(Code.OK)


def _raise_for_status(stream: Http2Stream) -> None:
    headers = dict(stream.headers)
    trailers = dict(stream.trailers) if stream.trailers else headers
    if headers.get(b":status") != b"200":
        status = headers.get(b":status", b"no").decode(errors="replace")
        raise ProtocolViolation(f"HTTP status {status} instead of a gRPC answer")
    number = trailers.get(b"grpc-status", b"").decode(errors="replace")
    if not number.isdecimal():
        raise ProtocolViolation("the call ended without a gRPC status")
    code = _CODES.get(int(number), Code.UNKNOWN)
    if code is Code.OK:
        return
    message = unquote_to_bytes(trailers.get(b"grpc-message", b"")).decode(errors="replace")
    raise GrpcError(code, message, _details(trailers.get(b"grpc-status-details-bin", b"")))


def _details(header: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        status = decode(Status, base64.b64decode(header + b"=" * (-len(header) % 4)))
    except (binascii.Error, ProtocolViolation):
        return ()
    return tuple((detail.type_url, detail.value) for detail in status.details)


def _percent_encode(message: str) -> bytes:
    return _ESCAPED.sub(lambda match: b"%%%02X" % ord(match[0]), message.encode(errors="replace"))

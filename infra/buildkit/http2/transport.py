"""The byte stream to a daemon: TCP, TLS, a unix socket, or a Docker engine's socket after its upgrade."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Protocol

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.common.reasons import remedy, unreachable
from prefect_slipway.infra.common.tls import trusting
from prefect_slipway.infra.domain.errors import (
    BuilderProtocolError,
    BuilderTlsError,
    BuilderUnreachable,
    SlipwayError,
)

_READ_SIZE = 1 << 18
_WRITE_BUFFER = 1 << 20
_SEND_BUFFER = 1 << 20
_LONGEST_HEAD = 1 << 16
# Docker engine API, "POST /grpc": the connection becomes HTTP/2 without TLS after the 101.
_UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"


class ByteStream(Protocol):
    """A duplex stream of bytes."""

    async def read(self) -> bytes:
        """The next bytes, b"" once the other side has ended. Raises OSError."""
        ...

    async def write(self, data: bytes) -> None:
        """Take `data`; waits while the other side is slow. Raises OSError."""
        ...

    async def close(self) -> None:
        """Close it in any state, without raising."""
        ...


class SocketStream:
    """A ByteStream over a plain socket, which it owns. Not asyncio's streams: they copy what waits to be sent."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        # Fewer context switches with a daemon that receives a large context.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(_READ_SIZE)
        self._unread = b""

    def unread(self, data: bytes) -> None:
        """The next `read` gives `data` (again), if it is not empty."""
        self._unread = data

    async def read(self) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        size = await self._loop.sock_recv_into(self._socket, self._buffer)
        return bytes(memoryview(self._buffer)[:size])

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def close(self) -> None:
        self._socket.close()


class AsyncioStream:
    """A ByteStream over asyncio's streams, which know TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER)

    async def read(self) -> bytes:
        return await self._reader.read(_READ_SIZE)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        # Not a graceful close: it would wait for a peer that may never read again. HTTP/2 ends with GOAWAY.
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def open_stream(address: BuilderAddress, *, timeout_s: float = 10.0) -> ByteStream:
    """Connect to `address`, giving up after `timeout_s` seconds.

    Raises BuilderUnreachable, BuilderTlsError, BuilderProtocolError (a Docker engine that offers no BuildKit) or
    InvalidOption (a TLS file that cannot be read).
    """
    context = _tls_context(address.tls) if address.tls is not None else None
    try:
        async with asyncio.timeout(timeout_s):
            return await _connect(address, context)
    except ssl.SSLCertVerificationError as error:
        raise BuilderTlsError(f"builder {address}: {_verification_text(error)}") from error
    except ssl.SSLError as error:
        raise BuilderTlsError(
            f"builder {address}: the TLS handshake failed ({error.reason or 'no reason given'})"
        ) from error
    except TimeoutError as error:
        raise BuilderUnreachable(
            f"builder {address}: no answer within {timeout_s:g} s", action=remedy(error, "the builder's address")
        ) from error
    except OSError as error:
        raise _connection_error(address, error) from error


async def _connect(address: BuilderAddress, context: ssl.SSLContext | None) -> ByteStream:
    if context is not None and address.tls is not None:
        name = address.tls.server_name or address.host
        return AsyncioStream(
            *await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=name)
        )
    stream = SocketStream(
        await (_tcp_socket(address) if address.kind == "tcp" else _connected(socket.AF_UNIX, os.fspath(address.path)))
    )
    try:
        if address.kind == "docker":
            await _upgrade(address, stream)
    except BaseException:
        await stream.close()
        raise
    return stream


async def _tcp_socket(address: BuilderAddress) -> socket.socket:
    failure: OSError | None = None
    loop = asyncio.get_running_loop()
    for family, _, _, _, where in await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
        try:
            connection = await _connected(family, where)
        except OSError as error:
            failure = failure or error
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    assert failure is not None, "getaddrinfo gives an address or raises"
    raise failure


async def _connected(family: int, where: tuple[object, ...] | str) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, where)
    except BaseException:
        connection.close()
        raise
    return connection


async def _upgrade(address: BuilderAddress, stream: SocketStream) -> None:
    await stream.write(_UPGRADE)
    data, end = b"", -1
    while end < 0:
        more = await stream.read()
        data += more
        end = data.find(b"\r\n\r\n")
        if end < 0 and (not more or len(data) > _LONGEST_HEAD):
            raise BuilderProtocolError(f"builder {address}: the answer to POST /grpc is not a Docker engine's")
    stream.unread(data[end + 4 :])
    head = data[:end]
    status = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(status) < 2 or not status[0].startswith("HTTP/1"):
        raise BuilderProtocolError(f"builder {address}: the answer to POST /grpc is not a Docker engine's")
    if status[1] != "101":
        raise BuilderProtocolError(
            f"builder {address}: the Docker engine does not offer BuildKit (POST /grpc gave HTTP {status[1][:3]})"
        )


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = trusting("the builder", files.ca, files.cert, files.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context


def _verification_text(error: ssl.SSLCertVerificationError) -> str:
    return f"its certificate is not accepted ({error.verify_message})"


def _connection_error(address: BuilderAddress, error: OSError) -> SlipwayError:
    if isinstance(error, FileNotFoundError):
        return BuilderUnreachable(f"builder {address}: the socket does not exist")
    if isinstance(error, PermissionError):
        return BuilderUnreachable(
            f"builder {address}: this user has no permission to open the socket",
            action="run as root, or join the group that owns the socket (docker)",
        )
    if isinstance(error, ConnectionResetError | ConnectionAbortedError) and address.tls is not None:
        # A server that requires a client certificate may close the connection instead of sending an alert.
        return BuilderTlsError(f"builder {address}: the connection broke during the TLS handshake")
    if isinstance(error, socket.gaierror):
        return unreachable(BuilderUnreachable, f"builder {address}", error, "the builder's address")
    # asyncio puts the address into its text, and several attempts into one error without a number.
    why = os.strerror(error.errno).lower() if error.errno else "connection refused by all its addresses"
    return BuilderUnreachable(f"builder {address}: {why}")

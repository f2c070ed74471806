"""A duplex stream of bytes, over a socket or over asyncio's streams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

_READ_SIZE = 1 << 18
_WRITE_BUFFER = 1 << 20
_SEND_BUFFER = 1 << 20


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

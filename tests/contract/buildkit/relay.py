"""Relays: one makes an engine look like a buildkitd (plain HTTP/2 or TLS, upgraded towards the engine)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Listens at `host`, at the unix socket `path` or on the socket `at`, and passes on to what `upstream` opens (an
    engine's socket stands for the engine's BuildKit). `frozen`: set it, and nothing goes through any more, although
    both connections stay open. `keep`: what each client sends is in `said`, in the order in which they connected."""

    def __init__(
        self,
        upstream: Path | Callable[[], Awaitable[Streams]],
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        path: Path | None = None,
        at: socket.socket | None = None,
        keep: bool = False,
    ) -> None:
        self._connect = (lambda: upgraded(upstream)) if isinstance(upstream, Path) else upstream
        self._tls = tls
        self._host = host
        self._path = path
        self._at = at
        self._keep = keep
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.frozen = asyncio.Event()
        self.said: list[bytearray] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        elif self._at is not None:
            self._server = await asyncio.start_server(self._serve, sock=self._at)
        else:
            self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        return f"unix://{self._path}" if self._path is not None else f"tcp://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Listen no more; what is connected stays."""
        assert self._server is not None
        self._server.close()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        engine_reader, engine_writer = await self._connect()
        self._writers += [writer, engine_writer]
        said = bytearray() if self._keep else None
        if said is not None:
            self.said.append(said)
        try:
            await asyncio.gather(self._pump(reader, engine_writer, said), self._pump(engine_reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            for end in (writer, engine_writer):
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None = None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if kept is not None:
                    kept += data
                if self.frozen.is_set():
                    await asyncio.Event().wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def listener(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], path: Path | None = None
) -> AsyncIterator[int]:
    """A server that answers each connection with `answer` and then closes it; gives its port on loopback (0 for the
    unix socket `path`). Nothing of it is left afterwards."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    if path is not None:
        server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield 0 if path is not None else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def upgraded(engine: Path) -> Streams:
    """A connection to the BuildKit of the engine at this socket."""
    reader, writer = await asyncio.open_unix_connection(engine)
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer

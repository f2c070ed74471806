"""What a connection may cost: how many at once, how long until its headers are there, how many bytes wait in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from flows.relay.refusal import Refused

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Gate:
    """Makes the protocol of each new connection; one too many is answered 503 and closed."""

    def __init__(self, server: web.Server, limit: int, on_refusal: Callable[[], None]) -> None:
        self._server = server
        self._limit = limit
        self._on_refusal = on_refusal
        self._arriving = 0

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) + self._arriving >= self._limit:
            self._on_refusal()
            return _Busy()
        # Many are accepted in one turn of the loop, and the server knows of each a turn later.
        self._arriving += 1
        asyncio.get_running_loop().call_soon(self._arrived)
        return self._server()

    def _arrived(self) -> None:
        self._arriving -= 1


class _Busy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast(asyncio.Transport, transport)
        writing.write(_BUSY)
        writing.close()


class Intake:
    """Reads bodies: each of at most `most_bytes` within `patience_s`, all at one time of `most_together` bytes."""

    def __init__(self, *, most_bytes: int, most_together: int, patience_s: float) -> None:
        self._most_bytes = most_bytes
        self._most_together = most_together
        self._patience_s = patience_s
        self._held = 0

    @asynccontextmanager
    async def body(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body, which counts as held in memory until the block ends. Raises Refused: 408, 413, 503."""
        held: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(self._patience_s):
                    async for chunk in request.content.iter_any():
                        size += len(chunk)
                        self._held += len(chunk)
                        if size > self._most_bytes:
                            raise Refused(413, f"more than {self._most_bytes} bytes")
                        if self._held > self._most_together:
                            raise Refused(503, "too many deliveries at once")
                        held.append(chunk)
            except TimeoutError:
                raise Refused(408, f"the body did not arrive within {self._patience_s:g} s") from None
            yield b"".join(held)
        finally:
            self._held -= size

    def check_length(self, request: web.Request) -> None:
        """Refuse a body that announces itself as too large. Raises Refused."""
        if request.content_length is not None and request.content_length > self._most_bytes:
            raise Refused(413, f"more than {self._most_bytes} bytes")

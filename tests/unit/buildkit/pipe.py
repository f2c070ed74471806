"""A duplex byte stream in memory, with bounded buffers."""

from __future__ import annotations

import asyncio

from prefect_slipway.infra.buildkit.http2.byte_stream import ByteStream


class _End:
    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.written = 0

    async def read(self) -> bytes:
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        self.written += len(data)
        await self._outgoing.put(data)

    async def close(self) -> None:
        if not self._outgoing.full():
            self._outgoing.put_nowait(b"")


def pipe(depth: int = 4) -> tuple[ByteStream, ByteStream]:
    """Both ends; a writer waits while `depth` writes were not read."""
    one: asyncio.Queue[bytes] = asyncio.Queue(depth)
    two: asyncio.Queue[bytes] = asyncio.Queue(depth)
    return _End(one, two), _End(two, one)

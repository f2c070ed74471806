"""Both protocols of a port-forward, as an API server and a kubelet serve them."""

from __future__ import annotations

import asyncio
import struct
import zlib
from contextlib import suppress

from aiohttp import WSMsgType, web

from prefect_slipway.infra.kubernetes.access.spdy import (
    DATA,
    FIN,
    PING,
    RST_STREAM,
    SYN_STREAM,
    Frame,
    FrameReader,
    control,
    data_frames,
)

_SYN_REPLY = 2


class SpdyForward(asyncio.Protocol):
    """One connection of a client that has upgraded to SPDY."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._frames = FrameReader()
        self._headers = zlib.decompressobj()
        self._streams: dict[str, int] = {}
        self._to_pod: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_protocol(self)
        answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
        # Behind the head in one piece: a frame that nobody needs to act on but a PING.
        transport.write(answer.encode() + control(PING, (2).to_bytes(4, "big")))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            if frame.kind == SYN_STREAM:
                self._opened(frame)
            elif frame.kind == DATA and frame.stream == self._streams.get("data"):
                self._to_pod.put_nowait(frame.body)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._to_pod.put_nowait(b"")
        self._writable.set()
        if not self._over.done():
            self._over.set_result(None)

    async def wait_over(self) -> None:
        """Return when the connection has ended and all that was opened for it."""
        await self._over
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _opened(self, frame: Frame) -> None:
        assert self._transport is not None
        stream = int.from_bytes(frame.body[:4], "big")
        headers = _headers(self._headers.decompress(frame.body[10:]))
        assert headers["port"] == str(self._address[1])
        self._streams[headers["streamtype"]] = stream
        self._transport.write(control(_SYN_REPLY, stream.to_bytes(4, "big")))
        if set(self._streams) == {"data", "error"}:
            self._tasks.add(asyncio.create_task(self._carry()))

    async def _carry(self) -> None:
        assert self._transport is not None
        try:
            reader, writer = await asyncio.open_connection(*self._address)
        except OSError:
            self._transport.write(data_frames(self._streams["error"], b"connection refused"))
            self._transport.write(control(RST_STREAM, struct.pack(">II", self._streams["data"], 5)))
            return
        back = asyncio.create_task(self._back(reader))
        try:
            while data := await self._to_pod.get():
                writer.write(data)
                await writer.drain()
        finally:
            back.cancel()
            writer.transport.abort()
            await asyncio.wait([back])

    async def _back(self, reader: asyncio.StreamReader) -> None:
        assert self._transport is not None
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self._transport.write(data_frames(self._streams["data"], data))
                await self._writable.wait()
        self._transport.write(struct.pack(">II", self._streams["data"], FIN << 24))


def _headers(block: bytes) -> dict[str, str]:
    words, at = [], 4
    while at < len(block):
        size = int.from_bytes(block[at : at + 4], "big")
        words.append(block[at + 4 : at + 4 + size].decode("ascii"))
        at += 4 + size
    return dict(zip(words[::2], words[1::2], strict=True))


async def websocket_forward(socket: web.WebSocketResponse, host: str, port: int) -> None:
    """Serve a client of `v4.channel.k8s.io` until one side ends."""
    reader, writer = await asyncio.open_connection(host, port)

    async def back() -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await socket.send_bytes(b"\0" + data)
        await socket.close()

    task: asyncio.Task[None] | None = None
    try:
        for channel in (b"\0", b"\1"):
            await socket.send_bytes(channel + port.to_bytes(2, "little"))
        task = asyncio.create_task(back())
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[:1] == b"\0":
                writer.write(message.data[1:])
                await writer.drain()
    finally:
        writer.transport.abort()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

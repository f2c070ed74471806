"""A pod's port on a loopback port of this machine, through the API server's port-forward.

Each connection gets a WebSocket of its own, so one that drops takes no other with it and the next works again.
Protocol `v4.channel.k8s.io` (kubelet, pkg/kubelet/server/portforward/websocket.go):
binary messages whose first byte is a channel, 0 for data and 1 for errors; the first message on each names the port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

import aiohttp

from flows.domain.errors import ClusterError
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.model import PORT

# Few large messages: each costs a wake-up on every hop.
_READ_SIZE = 1 << 19
_DATA, _ERROR = 0, 1
_PORT_BYTES = PORT.to_bytes(2, "little")


class PortForward:
    """A listener on 127.0.0.1; an async context manager. What goes through it is mutual TLS from end to end.

    `pod`: asked for at each connection, so that a pod that was replaced is found again.
    """

    def __init__(self, api: KubernetesApi, pod: Callable[[], Awaitable[str]]) -> None:
        self._api = api
        self._pod = pod
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.failure: ClusterError | None = None
        """Why the last connection could not be made or broke off, None if none did."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_READ_SIZE)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for task in self._connections:
                task.cancel()
            if self._connections:
                await asyncio.wait(self._connections)
            await self._server.wait_closed()
            self._server = None

    @property
    def address(self) -> str:
        if self._server is None:
            raise RuntimeError("PortForward is used outside of its `async with` block")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"tcp://{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            socket = await self._api.open_port(await self._pod(), PORT)
            try:
                await _relay(reader, writer, socket)
            finally:
                await socket.close()
        except ClusterError as error:
            self.failure = error
        except asyncio.CancelledError:
            # Only `__aexit__` cancels; asyncio's stream server would log an escaping cancellation as a fault.
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: aiohttp.ClientWebSocketResponse
) -> None:
    """Carry bytes both ways until one side ends (the protocol knows no half-closed connection)."""
    halves = [asyncio.create_task(_out(reader, socket)), asyncio.create_task(_in(socket, writer))]
    try:
        await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for half in halves:
            half.cancel()
        await asyncio.gather(*halves, return_exceptions=True)
    with suppress(OSError, aiohttp.ClientError):
        for half in halves:
            if not half.cancelled():
                half.result()


async def _out(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    channel = bytes([_DATA])
    while data := await reader.read(_READ_SIZE):
        await socket.send_bytes(channel + data)


async def _in(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    opened = set()
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], memoryview(message.data)[1:]
        if channel not in opened:
            opened.add(channel)
            if data[:2] == _PORT_BYTES:
                data = data[2:]
        if channel == _ERROR and data:
            return  # the kubelet could not reach the port, or lost it
        if data:
            writer.write(data)
            await writer.drain()

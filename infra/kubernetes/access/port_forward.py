"""A pod's port on a loopback port of this machine, through the API server's port-forward.

Each connection gets a tunnel of its own, so one that drops takes no other with it and the next works again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self

import aiohttp

from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.tunnel import Tunnel, open_tunnel

# Few large reads: each costs a wake-up on every hop.
_READ_SIZE = 1 << 18


@asynccontextmanager
async def port_forward(api: KubernetesApi, pod: Callable[[], Awaitable[str]], port: int) -> AsyncIterator[PortForward]:
    """A PortForward that has been tried, with a client of its own: for an event loop that `api` does not belong to.

    Raises ClusterErrors, and what `pod` raises.
    """
    async with api.another() as own, PortForward(own, pod, port) as forward:
        await forward.check()
        yield forward


class PortForward:
    """A listener on 127.0.0.1; an async context manager. What goes through it is mutual TLS from end to end.

    `pod`: asked for at each connection, so that a pod that was replaced is found again. `port`: the pod's.
    """

    def __init__(self, api: KubernetesApi, pod: Callable[[], Awaitable[str]], port: int) -> None:
        self._api = api
        self._pod = pod
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.failure: SlipwayError | None = None
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

    async def check(self) -> None:
        """Connect to the pod's node once, to name a missing permission. Raises as `port_forward`."""
        await (await open_tunnel(self._api, await self._pod(), self._port)).close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            tunnel = await open_tunnel(self._api, await self._pod(), self._port)
            try:
                await _relay(reader, writer, tunnel)
            finally:
                await tunnel.close()
        except SlipwayError as error:
            self.failure = error
        except asyncio.CancelledError:
            # Only `__aexit__` cancels; asyncio's stream server would log an escaping cancellation as a fault.
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: Tunnel) -> None:
    """Carry bytes both ways until one side ends (WebSocket's protocol knows no half-closed connection)."""
    halves = [asyncio.create_task(_out(reader, tunnel)), asyncio.create_task(_in(tunnel, writer))]
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


async def _out(reader: asyncio.StreamReader, tunnel: Tunnel) -> None:
    while data := await reader.read(_READ_SIZE):
        await tunnel.write(data)


async def _in(tunnel: Tunnel, writer: asyncio.StreamWriter) -> None:
    while data := await tunnel.read():
        writer.write(data)
        await writer.drain()

"""Connections to a pod's port by either protocol, and what lives in a thread of its own for them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from prefect_slipway.infra.domain.errors import BuilderUnreachable, ClusterForbidden
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.port_forward import PortForward, port_forward
from prefect_slipway.infra.kubernetes.access.thread import InOwnThread, from_here
from prefect_slipway.infra.kubernetes.access.tunnel import SpdyTunnel, WebSocketTunnel, open_tunnel
from prefect_slipway.infra.kubernetes.builders.spec import PORT
from tests.kubernetes.server import KubernetesServer
from tests.waiting import soon

ADDRESS = "127.61.7.1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def kubernetes() -> AsyncIterator[KubernetesServer]:
    async with KubernetesServer(None) as server:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "status": {"podIP": ADDRESS}}
        server.store.create(("pods", "default", "pod"), pod)
        yield server


@pytest.fixture(params=["spdy", "websocket"])
def tunnel(request: pytest.FixtureRequest, kubernetes: KubernetesServer) -> type[SpdyTunnel | WebSocketTunnel]:
    """The way that there is: a proxy that knows no SPDY answers its upgrade as any other request."""
    if request.param == "spdy":
        return SpdyTunnel
    kubernetes.fault = no_spdy
    return WebSocketTunnel


def no_spdy(request: web.Request) -> web.Response | None:
    return web.Response(status=400) if request.headers.get("Upgrade") == "SPDY/3.1" else None


async def pod() -> str:
    return "pod"


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[None]:
    """A pod whose port does this with each connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()

    async with await asyncio.start_server(handle, ADDRESS, PORT):
        yield


async def test_bytes_go_both_ways_and_the_pods_end_is_seen(
    api: KubernetesApi, tunnel: type[SpdyTunnel | WebSocketTunnel]
) -> None:
    """All of them in their order, more than any buffer holds."""
    sent = os.urandom(5_000_001)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = len(sent)
        while left:
            data = await reader.read(1 << 16)
            left -= len(data)
            writer.write(data)
            await writer.drain()

    async with listening(echo):
        opened = await open_tunnel(api, "pod", PORT)
        try:
            assert isinstance(opened, tunnel)
            writing = asyncio.create_task(opened.write(sent))
            received = bytearray()
            while data := await opened.read():
                received += data
            await writing
        finally:
            await opened.close()
    assert received == sent


async def test_what_is_not_taken_is_not_sent(api: KubernetesApi, tunnel: type[SpdyTunnel | WebSocketTunnel]) -> None:
    """A pod that sends without end is held back while nobody reads."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(bytes(1 << 20))
            await writer.drain()
            sent += 1 << 20

    async with listening(flood):
        opened = await open_tunnel(api, "pod", PORT)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 64 << 20
        assert await opened.read()
        await opened.close()


async def test_a_port_that_nobody_listens_on_ends_at_once(api: KubernetesApi, kubernetes: KubernetesServer) -> None:
    """The kubelet says so on the stream for errors."""
    opened = await open_tunnel(api, "pod", PORT)
    assert await soon(opened.read()) == b""
    await opened.close()


async def test_a_tunnel_that_breaks_ends_both_ways(
    api: KubernetesApi, kubernetes: KubernetesServer, tunnel: type[SpdyTunnel | WebSocketTunnel]
) -> None:
    """Who reads sees the end or an error, and who writes an error; nobody waits."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent):
        opened = await open_tunnel(api, "pod", PORT)
        await kubernetes.drop_forwards()
        with suppress(ConnectionError):
            assert await soon(opened.read()) == b""
        with pytest.raises(ConnectionError):
            await opened.write(b"x")
        await opened.close()


async def test_a_port_forward_in_a_thread_of_its_own(api: KubernetesApi) -> None:
    """The pod is asked for in this event loop; the thread is gone afterwards."""
    here, asked = threading.current_thread(), []

    async def asked_here() -> str:
        asked.append(threading.current_thread())
        return "pod"

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")

    where = from_here(asked_here)
    async with listening(greet), InOwnThread(lambda: port_forward(api, where, PORT), "forward-in-test") as forward:
        host, port = forward.address.removeprefix("tcp://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b"hello"
        writer.close()
        assert "forward-in-test" in {thread.name for thread in threading.enumerate()}
    assert set(asked) == {here}
    assert "forward-in-test" not in {thread.name for thread in threading.enumerate()}


async def test_a_right_that_is_missing_is_told_before_anything_is_built(
    api: KubernetesApi, kubernetes: KubernetesServer
) -> None:
    """Verb and resource; and the thread is gone."""
    status = {"kind": "Status", "code": 403, "message": 'User "u" cannot create resource "pods/portforward" in API'}
    kubernetes.fault = lambda request: web.json_response(status, status=403) if "forward" in request.path else None
    where = from_here(pod)
    with pytest.raises(ClusterForbidden, match="create on pods/portforward"):
        async with InOwnThread(lambda: port_forward(api, where, PORT), "forward-in-test"):
            pass
    assert "forward-in-test" not in {thread.name for thread in threading.enumerate()}


async def test_a_connection_without_a_pod_ends_with_the_cause(api: KubernetesApi) -> None:
    """A builder that has just lost its pod: the listener stays for the next one."""

    async def none() -> str:
        raise BuilderUnreachable("builder x has no ready pod")

    async with PortForward(api, none, PORT) as forward:
        host, port = forward.address.removeprefix("tcp://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        writer.close()
        assert isinstance(forward.failure, BuilderUnreachable)


async def test_who_is_cancelled_while_entering_leaves_no_thread() -> None:
    entered = threading.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        entered.set()
        await asyncio.sleep(0.5)
        yield

    async def enter() -> None:
        async with InOwnThread(slow, "slow-in-test"):
            pass

    task = asyncio.create_task(enter())
    await asyncio.to_thread(entered.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "slow-in-test" not in {thread.name for thread in threading.enumerate()}

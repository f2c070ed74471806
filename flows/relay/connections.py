"""Limits of connections: how many at once, in total and per client, and how many bytes they hold in memory."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from prefect_slipway.flows.relay import LOGGER
from prefect_slipway.flows.relay.dispatch import PATIENCE_S
from prefect_slipway.flows.relay.refusal import Refused
from prefect_slipway.infra.domain.errors import PortTaken

Address = tuple[str, int]
"""Host and port."""

SHUTDOWN_S = PATIENCE_S + 2.0
"""Seconds that a delivery has to be finished when the relay is told to end."""

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

logger = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class Limits:
    """The resources that clients may use.

    `body_bytes`: of one delivery. `bodies_bytes`: of all that are being read. `connections`: at once.
    `client_connections`: of one client, which a reverse proxy is, too. `headers_s`, `body_s`: seconds until they have
    arrived.
    """

    body_bytes: int = 5 << 20
    bodies_bytes: int = 64 << 20
    connections: int = 128
    client_connections: int = 32
    headers_s: float = 5.0
    body_s: float = 30.0


@asynccontextmanager
async def listener(app: web.Application, address: Address, limits: Limits) -> AsyncIterator[asyncio.Server]:
    """Serve `app` at `address` within `limits`. Raises PortTaken."""
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_quiet,
        # Also how long a connection may stay without a complete set of headers.
        keepalive_timeout=limits.headers_s,
        lingering_time=1.0,
        auto_decompress=False,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    assert runner.server is not None, "it was set up"
    gate = Gate(runner.server, limits.connections, limits.client_connections)
    try:
        try:
            server = await asyncio.get_running_loop().create_server(gate, *address)
        except OSError as error:
            # asyncio's error of a failed bind repeats the address; the resolver's errors have negative numbers.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise PortTaken(
                "cannot listen on {}:{} ({})".format(*address, reason),
                action="stop the program that uses it, or choose another address with --listen or --health-listen",
            ) from error
        try:
            yield server
        finally:
            server.close()
    finally:
        await runner.cleanup()


class Gate:
    """Creates the protocol of each new connection; excess connections get a 503 and are closed.

    `most`: connections at once. `most_of_one`: of these from one client, so that no client takes all.
    """

    def __init__(self, server: web.Server, most: int, most_of_one: int) -> None:
        self._server = server
        self._most = most
        self._most_of_one = most_of_one

    def __call__(self) -> asyncio.Protocol:
        return _Arrival(self)

    def let_in(self, transport: asyncio.Transport) -> None:
        """Hand the connection to the server, or close it."""
        there = [handler.transport for handler in self._server.connections]
        client = _client(transport)
        of_this_one = sum(_client(other) == client for other in there if other is not None)
        if len(there) >= self._most:
            self._refuse(transport, "connections")
        elif of_this_one >= self._most_of_one:
            self._refuse(transport, f"connections from {client}")
        else:
            protocol = self._server()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)

    def _refuse(self, transport: asyncio.Transport, too_many: str) -> None:
        logger.warning("refused: too many %s", too_many)
        transport.write(_BUSY)
        transport.close()


class _Arrival(asyncio.Protocol):
    """A connection whose client is not known before it is made."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._gate.let_in(cast(asyncio.Transport, transport))


def _client(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return client_of(peer[0]) if peer else ""  # without: it is gone already


def client_of(peer: str) -> str:
    """The client of a connection: an IPv4 address, or an IPv6 network of 64 bits, which one client usually owns."""
    address = ipaddress.ip_address(peer.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


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


class _Quiet(logging.Logger):
    """What aiohttp says of requests that are not HTTP: that there was one, without the bytes that it quotes."""

    def exception(self, msg: object, *args: object, **_: Any) -> None:
        logger.warning("refused (400): not HTTP")

    def debug(self, msg: object, *args: object, **_: Any) -> None:
        logger.warning("refused (400): not HTTP")


_quiet = _Quiet("prefect_slipway.flows.relay.http", logging.CRITICAL)

"""Connect to a daemon: by TCP, TLS, a unix socket, a Docker engine, or a container of one."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from functools import partial
from pathlib import Path

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.buildkit.http2.byte_stream import AsyncioStream, ByteStream, SocketStream
from prefect_slipway.infra.common.reasons import remedy, unreachable
from prefect_slipway.infra.common.tls import trusting
from prefect_slipway.infra.domain.errors import (
    BuilderTlsError,
    BuilderUnreachable,
    SlipwayError,
)


async def open_stream(address: BuilderAddress, *, timeout_s: float = 10.0) -> ByteStream:
    """Connect to `address`, giving up after `timeout_s` seconds.

    Raises BuilderUnreachable (a container that cannot be entered, too), BuilderTlsError, BuilderProtocolError (a Docker
    engine that offers no BuildKit) or InvalidOption (a TLS file or docker's configuration that cannot be read).
    """
    context = _tls_context(address.tls) if address.tls is not None else None
    if address.kind in {"docker", "docker-container"} and not address.has_path:
        from prefect_slipway.infra.buildkit.http2.docker import engine_socket

        address = address._replace(path=engine_socket(os.environ, f"builder {address}"))
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
    if address.kind == "tcp":
        return SocketStream(await _tcp_socket(address))
    if address.kind == "unix":
        return await _unix_stream(address.path)
    from prefect_slipway.infra.buildkit.http2.docker import to_buildkit, to_container

    subject = f"builder {address}"
    connect = partial(_unix_stream, address.path)
    if address.kind == "docker":
        return await to_buildkit(connect, subject)
    return await to_container(address.host, connect, subject)


async def _unix_stream(path: Path) -> SocketStream:
    return SocketStream(await _connected(socket.AF_UNIX, os.fspath(path)))


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

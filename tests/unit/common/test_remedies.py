"""What to do next fits what happened, whoever met it: over real sockets, a row each."""

from __future__ import annotations

import http.server
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_slipway.flows.server.errors import check_server
from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.registry_errors import registry_error
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import RegistryUnreachable, SlipwayError
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.vault.access import TokenAuth, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from tests.certificates import Certificates, make_certificates
from tests.ports import free_port
from tests.serving import serving

Ask = Callable[[str, str], Awaitable[object]]


class _Nobody:
    async def credential(self, host: str) -> Credential | None:
        return None


async def registry(scheme: str, host: str) -> None:
    async with RegistryClient(host, _Nobody(), insecure=scheme == "http", ca_file=None) as client:
        await client.manifest("team/app", "1.0.0")


async def vault(scheme: str, host: str) -> None:
    async with VaultSession(VaultAccess(f"{scheme}://{host}", TokenAuth("t"))) as session:
        await session.read(SecretPath.parse("vault:secret/app"))


async def prefect(scheme: str, host: str) -> None:
    with temporary_settings({PREFECT_API_URL: f"{scheme}://{host}/api"}):
        await check_server()


async def builder(scheme: str, host: str) -> None:
    async with BuildKit(BuilderAddress.parse(f"tcp://{host}")) as buildkit:
        await buildkit.workers()


async def next_of(ask: Ask, scheme: str, host: str) -> tuple[str, str]:
    with pytest.raises(SlipwayError) as caught:
        await ask(scheme, host)
    return caught.value.cause, caught.value.action


@contextmanager
def answering(status: int, certificates: Certificates | None = None) -> Iterator[str]:
    """A server that answers everything with this status; its HOST:PORT."""

    class Same(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Same) as server:
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.cert, certificates.key)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with serving(server):
            yield f"127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("ask", [registry, vault, prefect, builder])
async def test_an_unknown_host_is_a_matter_of_dns(ask: Ask) -> None:
    """Not of the image's name, nor of whether the server runs."""
    cause, action = await next_of(ask, "http", "no-such-host.invalid:5000")
    assert "no such host" in cause
    assert action.startswith("check the host name in ") and "DNS" in action


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (registry, "host name and port, and that it is running"),
        (vault, "VAULT_ADDR"),
        (prefect, "PREFECT_API_URL and that the server is running"),
        (builder, "--builder"),
    ],
)
async def test_a_refused_connection_is_a_matter_of_port_and_server(ask: Ask, what: str) -> None:
    cause, action = await next_of(ask, "http", f"127.0.0.1:{free_port()}")
    assert "connection refused" in cause
    assert what in action


@pytest.mark.parametrize(
    ("ask", "what"), [(registry, "--registry-ca"), (vault, "VAULT_CACERT"), (prefect, "PREFECT_API_SSL_CERT_FILE")]
)
async def test_an_unknown_certificate_is_a_matter_of_the_ca(tmp_path: Path, ask: Ask, what: str) -> None:
    with answering(200, make_certificates(tmp_path)) as host:
        cause, action = await next_of(ask, "https", host)
    assert "certificate" in cause
    assert what in action


@pytest.mark.parametrize(
    ("ask", "status", "what"),
    [
        (registry, 401, "username and password"),
        (registry, 403, "to pull otherwise"),
        (registry, 404, "belongs to an OCI registry"),
        (vault, 403, "VAULT_TOKEN"),
        (vault, 404, "mount and the path"),
        (prefect, 401, "PREFECT_API_AUTH_STRING"),
        (prefect, 403, "PREFECT_API_AUTH_STRING"),
        (prefect, 404, "ends in /api"),
    ],
)
async def test_an_answer_is_told_by_its_status(ask: Ask, status: int, what: str) -> None:
    with answering(status) as host:
        cause, action = await next_of(ask, "http", host)
    assert what in action, (cause, action)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("dial tcp: lookup registry.invalid: no such host", "DNS of the builder"),
        ("dial tcp: lookup registry.invalid: Temporary failure in name resolution", "DNS of the builder"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "port"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "firewalls"),
    ],
)
def test_what_the_builder_cannot_reach_is_a_matter_of_its_network(words: str, what: str) -> None:
    """It has another DNS, and other proxies, than this machine."""
    error = registry_error("registry.invalid", "pushing app", words)
    assert isinstance(error, RegistryUnreachable)
    assert what in error.action
    assert error.most_tries == (1 if "no such host" in words else None)

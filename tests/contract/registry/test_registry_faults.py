from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.credentials import Anonymous, Credential
from prefect_slipway.infra.domain.errors import (
    AnswerTooLarge,
    InvalidOption,
    RegistryForbidden,
    RegistryProtocolError,
    RegistryThrottled,
    RegistryTlsError,
    RegistryUnauthorized,
    RegistryUnavailable,
    RegistryUnreachable,
    RepositoryUnknown,
    TagImmutable,
    UploadBroken,
)
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import OCI_MANIFEST
from prefect_slipway.infra.registry.wire import MOST_BYTES
from tests.certificates import make_certificates
from tests.contract.registry.conftest import PASSWORD, USER, Fixed, alice, client
from tests.faults import front
from tests.images import Pusher
from tests.ports import free_port

DENIED = b'{"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}'


async def test_a_registry_that_is_not_there_is_unreachable() -> None:
    """Nobody listens: unreachable, worth a retry, and the address is named."""
    host = f"127.0.0.1:{free_port()}"
    async with client(host) as reg:
        with pytest.raises(RegistryUnreachable, match=host) as caught:
            await reg.ping()
    assert caught.value.retryable


async def test_a_host_name_that_does_not_exist_is_unreachable() -> None:
    """No such host: unreachable."""
    async with client("no-such-host.invalid") as reg:
        with pytest.raises(RegistryUnreachable):
            await reg.ping()


async def test_a_silent_registry_is_unreachable(registry: str) -> None:
    """A registry that takes the request and never answers is given up after the timeout."""
    with front(registry) as fronted:
        fronted.spoil("GET", "^/v2/$", hang=True)
        async with client(fronted.host, timeout_s=0.2) as reg:
            with pytest.raises(RegistryUnreachable, match="no answer in time"):
                await reg.ping()


@pytest.mark.parametrize("source", [Fixed(None), Fixed(Credential(USER, "a wrong password"))])
async def test_no_or_wrong_credentials_are_unauthorized(registry: str, repository: str, source: Fixed) -> None:
    """401: the cause names status and code, and never the password."""
    async with client(registry, source) as reg:
        for call in (reg.ping(), reg.check_push(repository), reg.head(repository, "1")):
            with pytest.raises(RegistryUnauthorized, match="HTTP 401") as caught:
                await call
            assert "a wrong password" not in repr(caught.value) + str(caught.value)
            assert not caught.value.retryable


async def test_wrong_credentials_are_tried_once(registry: str) -> None:
    """The same wrong password is not sent again: accounts get locked that way."""
    with front(registry) as fronted:
        async with client(fronted.host, Fixed(Credential(USER, "wrong"))) as reg:
            with pytest.raises(RegistryUnauthorized):
                await reg.ping()
        assert sum("Authorization" in each.headers for each in fronted.seen) == 1


async def test_a_missing_right_is_forbidden(registry: str, repository: str) -> None:
    """403: known before the build, by check_push."""
    with front(registry) as fronted:
        fronted.spoil("PUT", "/manifests/", 403, body=DENIED)
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryForbidden, match="403 DENIED"):
                await reg.check_push(repository)


async def test_an_unknown_name_is_told(registry: str, repository: str) -> None:
    """404 NAME_UNKNOWN for a manifest of a repository that does not exist."""
    unknown = b'{"errors": [{"code": "NAME_UNKNOWN"}]}'
    with front(registry) as fronted:
        fronted.spoil("*", "/manifests/|/blobs/", 404, body=unknown)
        async with client(fronted.host) as reg:
            with pytest.raises(RepositoryUnknown, match="404 NAME_UNKNOWN"):
                await reg.manifest(repository, "1.0.0")
            with pytest.raises(RepositoryUnknown):
                await reg.check_push(repository)


@pytest.mark.parametrize("as_date", [False, True])
async def test_throttling_says_how_long_to_wait(registry: str, repository: str, as_date: bool) -> None:
    """429 with Retry-After in seconds or as a date: retryable, with the seconds to wait."""
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True) if as_date else "3600"
    body = b'{"errors": [{"code": "TOOMANYREQUESTS"}]}'
    with front(registry) as fronted:
        fronted.spoil("GET", "tags/list", 429, headers={"Retry-After": when}, body=body)
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryThrottled) as caught:
                await reg.tags(repository)
    assert caught.value.retryable
    assert caught.value.retry_after is not None
    assert 3000 < caught.value.retry_after <= 3600


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_trouble_of_the_registry_is_unavailable(registry: str, repository: str, status: int) -> None:
    """5xx: retryable; the server's page does not get into the message."""
    with front(registry) as fronted:
        fronted.spoil("HEAD", "/manifests/", status)
        fronted.spoil("GET", "/manifests/", status, body=b"<html>the secret of the proxy</html>")
        async with client(fronted.host) as reg:
            for call in (reg.head(repository, "1"), reg.manifest(repository, "1")):
                with pytest.raises(RegistryUnavailable, match=f"HTTP {status}") as caught:
                    await call
                assert caught.value.retryable
                assert "secret" not in str(caught.value)


async def test_an_upload_that_breaks_off_is_told(registry: str, repository: str, pusher: Pusher) -> None:
    """The connection goes away while a manifest is sent: UploadBroken, and the same again succeeds."""
    pusher.image("1.0.0")
    with front(registry) as fronted:
        fronted.spoil("PUT", "/manifests/", times=1)
        async with client(fronted.host) as reg:
            manifest = await reg.manifest(repository, "1.0.0")
            with pytest.raises(UploadBroken) as caught:
                await reg.put_tag(repository, "2.0.0", manifest)
            assert caught.value.retryable
            await reg.put_tag(repository, "2.0.0", manifest)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"errors": [{"code": "TAG_INVALID", "message": "... because the tag is immutable."}]}'),
        (403, b'{"errors": [{"code": "DENIED", "message": "tag is immutable"}]}'),
        (409, b'{"errors": [{"code": "UNKNOWN", "message": "tag is immutable and cannot be overwritten"}]}'),
        (412, b'{"errors": [{"code": "PRECONDITION", "message": "configured as immutable"}]}'),
    ],
)
async def test_an_immutable_tag_is_told(
    registry: str, repository: str, pusher: Pusher, status: int, body: bytes
) -> None:
    """However a registry says it, a tag that may not move is TagImmutable; if it is there already all is
    well.
    """
    pusher.image("1.0.0")
    with front(registry) as fronted:
        fronted.spoil("PUT", "/manifests/", status, body=body)
        async with client(fronted.host) as reg:
            manifest = await reg.manifest(repository, "1.0.0")
            with pytest.raises(TagImmutable):
                await reg.put_tag(repository, "2.0.0", manifest)
            await reg.put_tag(repository, "1.0.0", manifest)


async def test_a_web_server_is_not_a_registry(registry: str, repository: str) -> None:
    """404 without an OCI error is no empty repository: something else lives at this address."""
    with front(registry) as fronted:
        fronted.spoil("*", "", 404, body=b"<html>not found</html>")
        async with client(fronted.host) as reg:
            with pytest.raises(RegistryProtocolError):
                await reg.ping()
            with pytest.raises(RegistryProtocolError):
                await reg.tags(repository)


async def test_https_with_an_own_ca(registry: str, repository: str, tmp_path: Path) -> None:
    """The registry's CA makes HTTPS work; without it the cause is the certificate, not the network."""
    certificates = make_certificates(tmp_path)
    with front(registry, certificates) as fronted:
        async with RegistryClient(fronted.host, alice(), insecure=False, ca_file=certificates.ca) as reg:
            await reg.check_push(repository)
        async with RegistryClient(fronted.host, alice(), insecure=False, ca_file=None) as reg:
            with pytest.raises(RegistryTlsError) as caught:
                await reg.ping()
        assert not caught.value.retryable


async def test_https_to_a_plain_registry_is_a_tls_error(registry: str) -> None:
    """HTTPS where plain HTTP answers: the cause names TLS and the action names --insecure-registry."""
    async with RegistryClient(registry, alice(), insecure=False, ca_file=None) as reg:
        with pytest.raises(RegistryTlsError, match="--insecure-registry"):
            await reg.ping()


async def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A CA file that is missing or no PEM file is a usage error."""
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("no certificate")
    for ca_file in (nonsense, tmp_path / "missing.pem"):
        with pytest.raises(InvalidOption, match=ca_file.name):
            async with RegistryClient("localhost:1", Anonymous(), insecure=False, ca_file=ca_file):
                pass


async def test_cancelling_leaves_nothing(registry: str) -> None:
    """A request that is cancelled ends at once, and its connection with the client."""
    with front(registry) as fronted:
        fronted.spoil("GET", "^/v2/$", hang=True)
        async with client(fronted.host) as reg:
            task = asyncio.create_task(reg.ping())
            while not fronted.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_nothing_is_retried(registry: str, repository: str) -> None:
    """One failing call is one request: whoever calls decides about retries."""
    with front(registry) as fronted:
        async with client(fronted.host) as reg:
            await reg.ping()
            fronted.spoil("GET", "tags/list", 503)
            with pytest.raises(RegistryUnavailable):
                await reg.tags(repository)
        assert sum("tags/list" in each.path for each in fronted.seen) == 1


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_an_answer_without_end_is_not_read(registry: str, repository: str, encoding: str) -> None:
    """More bytes than any manifest has, on the wire or once they are unpacked."""
    body = b" " * (MOST_BYTES + 1)
    headers = {"Content-Type": OCI_MANIFEST} | ({"Content-Encoding": encoding} if encoding else {})
    with front(registry) as fronted:
        fronted.spoil("GET", "/manifests/", 200, headers=headers, body=gzip.compress(body) if encoding else body)
        async with client(fronted.host) as reg:
            with pytest.raises(AnswerTooLarge, match=r"/manifests/1: the answer has more than 4194304 bytes"):
                await reg.manifest(repository, "1")


async def test_a_packed_answer_is_read(registry: str, repository: str, pusher: Pusher) -> None:
    """Proxies pack what they pass on."""
    pushed = pusher.image("1.0.0")
    async with client(registry) as reg:
        raw = (await reg.manifest(repository, "1.0.0")).raw
    with front(registry) as fronted:
        headers = {"Content-Type": OCI_MANIFEST, "Content-Encoding": "gzip"}
        fronted.spoil("GET", "/manifests/", 200, headers=headers, body=gzip.compress(raw))
        async with client(fronted.host) as reg:
            assert (await reg.manifest(repository, pushed["digest"])).raw == raw


def test_the_password_is_nowhere_in_the_clients_representation(registry: str) -> None:
    """A client shown in a log or a debugger shows no password."""
    assert PASSWORD not in repr(client(registry))

"""The Bearer flow against the real registry, whose tokens come from a token server of the test."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import (
    RegistryForbidden,
    RegistryProtocolError,
    RegistryUnauthorized,
    RegistryUnavailable,
)
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.docker_config import DockerConfigCredentials
from prefect_slipway.infra.registry.wire import Wire
from tests.certificates import make_certificates
from tests.contract.registry.conftest import Fixed, client
from tests.faults import front
from tests.tokens import TokenServer, token_registry


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, TokenServer]]:
    with token_registry(tmp_path) as (host, tokens):
        tokens.users["bob"] = "bobs-password"
        yield host, tokens


def bob() -> Fixed:
    return Fixed(Credential("bob", "bobs-password"))


async def test_a_token_is_fetched_for_each_scope_once(guarded: tuple[str, TokenServer], repository: str) -> None:
    """Tokens are asked for with password and scope, kept, and used again for the same scope."""
    host, tokens = guarded
    source = bob()
    async with client(host, source) as reg:
        await reg.ping()
        await reg.check_push(repository)
        await reg.check_push(repository)
        assert await reg.tags(repository) == []
        assert await reg.tags(repository) == []
    assert tokens.asked == [
        ([], True),
        ([f"repository:{repository}:pull,push"], True),
        ([f"repository:{repository}:pull"], True),
    ]
    assert source.hosts == [host] * 3


async def test_an_expired_token_is_replaced_with_the_credential_of_now(
    guarded: tuple[str, TokenServer], repository: str
) -> None:
    """When a token's time is over the credential source is asked again: a rotated password is picked up."""
    host, tokens = guarded
    tokens.lifetime_s = 0
    source = Fixed(Credential("bob", "bobs-password"), Credential("bob", "the next password"))
    async with client(host, source) as reg:
        assert await reg.tags(repository) == []
        tokens.users["bob"] = "the next password"
        assert await reg.tags(repository) == []
    assert len(tokens.asked) >= 2


async def test_a_scope_that_is_not_granted_is_forbidden(guarded: tuple[str, TokenServer], repository: str) -> None:
    """The registry answers 401 to a token without the right to push; the cause is the right, not the
    password.
    """
    host, tokens = guarded
    tokens.grants = {"pull"}
    async with client(host, bob()) as reg:
        assert await reg.tags(repository) == []
        with pytest.raises(RegistryForbidden):
            await reg.check_push(repository)


async def test_an_identity_token_takes_the_passwords_place(
    guarded: tuple[str, TokenServer], repository: str, tmp_path: Path
) -> None:
    """As `docker login` and `az acr login` store one, beside a user name that is nobody's."""
    host, tokens = guarded
    tokens.identities = {"an identity&token"}
    pair = base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {host: {"auth": pair, "identitytoken": "an identity&token"}}}))
    async with RegistryClient(host, DockerConfigCredentials(config), insecure=True, ca_file=None) as reg:
        await reg.check_push(repository)
    assert tokens.asked == [([f"repository:{repository}:pull,push"], True)]
    tokens.identities = {"another one"}
    async with RegistryClient(host, DockerConfigCredentials(config), insecure=True, ca_file=None) as reg:
        with pytest.raises(RegistryUnauthorized) as caught:
            await reg.check_push(repository)
    assert "identity&token" not in str(caught.value)


async def test_a_wrong_password_is_unauthorized(guarded: tuple[str, TokenServer], repository: str) -> None:
    """The token server's refusal is told as such, once, without the password."""
    host, tokens = guarded
    async with client(host, Fixed(Credential("bob", "wrong-password"))) as reg:
        with pytest.raises(RegistryUnauthorized) as caught:
            await reg.check_push(repository)
    assert "wrong-password" not in str(caught.value)
    assert len(tokens.asked) == 1


async def test_anonymous_access_asks_for_an_anonymous_token(guarded: tuple[str, TokenServer], repository: str) -> None:
    """Without a credential a token is still asked for, as public images are pulled."""
    host, tokens = guarded
    async with client(host, Fixed(None)) as reg:
        assert await reg.tags(repository) == []
    assert tokens.asked == [([f"repository:{repository}:pull"], False)]


async def test_a_token_server_in_trouble_is_unavailable(registry: str) -> None:
    """5xx of the token server is retryable, and a token server without a token is a protocol error."""
    with front(registry) as fronted:
        challenge = f'Bearer realm="http://{fronted.host}/token",service="s"'
        fronted.spoil("GET", "^/v2/$", 401, headers={"WWW-Authenticate": challenge})
        fronted.spoil("GET", "^/token", 503, times=1)
        fronted.spoil("GET", "^/token", 200, body=b'{"no": "token"}')
        async with client(fronted.host, bob()) as reg:
            with pytest.raises(RegistryUnavailable):
                await reg.ping()
            with pytest.raises(RegistryProtocolError):
                await reg.ping()


async def test_the_password_is_not_sent_to_a_token_server_in_plain_http(registry: str, tmp_path: Path) -> None:
    """A registry over HTTPS that names a token server over HTTP gets no password."""
    certificates = make_certificates(tmp_path)
    source = bob()
    with front(registry, certificates) as fronted:
        fronted.spoil("GET", "^/v2/$", 401, headers={"WWW-Authenticate": f'Bearer realm="http://{registry}/token"'})
        async with RegistryClient(fronted.host, source, insecure=False, ca_file=certificates.ca) as reg:
            with pytest.raises(RegistryProtocolError):
                await reg.ping()
    assert source.hosts == []


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://registry.example.com/v2/", True),
        ("https://registry.example.com:443/x", True),
        ("http://registry.example.com/v2/", False),
        ("https://registry.example.com:444/v2/", False),
        ("https://evil.example.com/v2/", False),
    ],
)
async def test_only_the_registry_itself_may_ask_for_the_password(url: str, own: bool) -> None:
    """A redirect may lead to the same name in plain HTTP, where anybody could name a token server of his own."""
    async with Wire("registry.example.com", bob(), insecure=False, ca_file=None, timeout_s=10) as wire:
        assert wire.is_own(httpx.URL(url)) is own


async def test_where_a_token_server_leads_is_said_and_not_followed(registry: str) -> None:
    """The password is for the server that the registry named."""
    with front(registry) as fronted, front(registry) as other:
        challenge = f'Bearer realm="http://{fronted.host}/token",service="s"'
        fronted.spoil("GET", "^/v2/$", 401, headers={"WWW-Authenticate": challenge})
        fronted.spoil("GET", "^/token", 307, headers={"Location": f"http://{other.host}/token?x=s3cret"})
        async with client(fronted.host, bob()) as reg:
            with pytest.raises(RegistryProtocolError, match=f"HTTP 307, which leads to http://{other.host}/token\n"):
                await reg.ping()
    assert other.seen == []

from __future__ import annotations

import pytest

from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import InvalidOption, SecretFieldMissing
from prefect_slipway.infra.domain.secret_path import CredentialPath, SecretPath
from prefect_slipway.infra.vault.credentials import VaultCredentials
from tests.contract.vault.conftest import reader
from tests.servers import VaultServer


async def test_a_rotated_credential_is_picked_up(vault: VaultServer, name: str) -> None:
    """Each call reads anew: the password of now is given, never the one of a minute ago."""
    path = SecretPath("secret", name)
    async with reader(vault, name, f"secret/data/{name}") as session:
        source: CredentialSource = VaultCredentials(session, {"registry.example.com": CredentialPath(path)})
        for password in ("first", "second"):
            vault.put(f"secret/{name}", {"username": "alice", "password": password})
            credential = await source.credential("registry.example.com")
            assert credential is not None
            assert (credential.username, credential.password) == ("alice", password)


async def test_other_hosts_get_nothing(vault: VaultServer, name: str) -> None:
    """A host that no secret was named for is accessed anonymously."""
    async with reader(vault, name, f"secret/data/{name}") as session:
        source = VaultCredentials(session, {"registry.example.com": CredentialPath(SecretPath("secret", name))})
        assert await source.credential("other.example.com") is None


@pytest.mark.parametrize("asked", ["registry-1.docker.io", "https://index.docker.io/v1/", "docker.io"])
async def test_docker_hub_has_one_name(vault: VaultServer, name: str, asked: str) -> None:
    """BuildKit's and docker's names for Docker Hub find the secret for docker.io, and its `registry` field
    fits.
    """
    vault.put(f"secret/{name}", {"username": "a", "password": "b", "registry": "index.docker.io"})
    async with reader(vault, name, f"secret/data/{name}") as session:
        source = VaultCredentials(session, {"docker.io": CredentialPath(SecretPath("secret", name))})
        assert await source.credential(asked) is not None


async def test_a_secret_of_another_registry_is_not_given_away(vault: VaultServer, name: str) -> None:
    """A secret that says which registry it is for is refused to any other."""
    vault.put(f"secret/{name}", {"username": "a", "password": "hush", "registry": "good.example.com"})
    async with reader(vault, name, f"secret/data/{name}") as session:
        source = VaultCredentials(session, {"bad.example.com": CredentialPath(SecretPath("secret", name))})
        with pytest.raises(InvalidOption, match=r"good\.example\.com, not of bad\.example\.com"):
            await source.credential("bad.example.com")


async def test_a_secret_without_a_password_is_told(vault: VaultServer, name: str) -> None:
    """The missing field is named."""
    vault.put(f"secret/{name}", {"username": "a"})
    async with reader(vault, name, f"secret/data/{name}") as session:
        source = VaultCredentials(session, {"r.example.com": CredentialPath(SecretPath("secret", name))})
        with pytest.raises(SecretFieldMissing, match="'password'"):
            await source.credential("r.example.com")


@pytest.mark.parametrize(
    ("fields", "named", "found"),
    [
        ({"username": "robot", "token": "t"}, "#token", ("robot", "t")),
        ({"token": "t", "token_ttl": 3600}, "#token,user=oauth2accesstoken", ("oauth2accesstoken", "t")),
        ({"username": "alice", "password": "p"}, "#password,user=robot$team+ci", ("robot$team+ci", "p")),
    ],
)
async def test_other_fields_are_named(
    vault: VaultServer, name: str, fields: dict[str, object], named: str, found: tuple[str, str]
) -> None:
    """As an engine or another tool has written them; the user's name is the secret's, unless it is given."""
    vault.put(f"secret/{name}", fields)
    async with reader(vault, name, f"secret/data/{name}") as session:
        source = VaultCredentials(session, {"r.example.com": CredentialPath.parse(f"vault:secret/{name}{named}")})
        credential = await source.credential("r.example.com")
    assert credential is not None
    assert (credential.username, credential.password) == found


async def test_a_secret_without_a_user_name_is_told(vault: VaultServer, name: str) -> None:
    """With the way to name one."""
    vault.put(f"secret/{name}", {"token": "hush"})
    async with reader(vault, name, f"secret/data/{name}") as session:
        source = VaultCredentials(session, {"r.example.com": CredentialPath.parse(f"vault:secret/{name}#token")})
        with pytest.raises(SecretFieldMissing, match="'username'") as caught:
            await source.credential("r.example.com")
    assert "#FIELD,user=NAME" in str(caught.value.action)

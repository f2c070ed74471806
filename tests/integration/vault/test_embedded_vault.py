"""Embedded Vault and registry as `slipway up` brings them up, used as a release uses them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from prefect_slipway.infra.domain.errors import DaemonFailed, RegistryUnauthorized, VaultDenied
from prefect_slipway.infra.domain.secret_path import CredentialPath, SecretPath
from prefect_slipway.infra.local.daemon import Daemon
from prefect_slipway.infra.local.registry import registry_spec
from prefect_slipway.infra.local.vault import REGISTRY_SECRET, SIGNING_KEY, approle_file, prepare_vault, vault_spec
from prefect_slipway.infra.local.vault_api import VaultApi, root_token
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.signing.keys import TrustedKeys
from prefect_slipway.infra.vault.access import AppRoleAuth, VaultAccess
from prefect_slipway.infra.vault.credentials import VaultCredentials
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath
from tests.ports import free_port
from tests.servers import running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def vault_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def vault(home: Path, vault_port: int) -> Iterator[Daemon]:
    with running(vault_spec(home, vault_port), home) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def registry_host(home: Path, vault: Daemon, vault_port: int) -> Iterator[str]:
    """An embedded registry whose credential is in the embedded Vault."""
    port = free_port()
    prepare_vault(home, vault_port, f"127.0.0.1:{port}")
    with running(registry_spec(home, port), home):
        yield f"127.0.0.1:{port}"


def release_access(home: Path, vault_port: int) -> VaultAccess:
    role = json.loads(approle_file(home).read_text())
    return VaultAccess(f"http://127.0.0.1:{vault_port}", AppRoleAuth(role["role_id"], role["secret_id"]))


def state(home: Path) -> dict[str, str]:
    files = ("vault/approle.json", "vault/unseal.json", "registry/htpasswd")
    return {name: (home / name).read_text() for name in files}


async def push(home: Path, vault_port: int, host: str) -> str:
    """Do as a release does: log in, read the credential, check the right to push. Gives the password."""
    async with VaultSession(release_access(home, vault_port)) as session:
        path = SecretPath.parse(REGISTRY_SECRET)
        credentials = VaultCredentials(session, {host: CredentialPath(path)})
        async with RegistryClient(host, credentials, insecure=True, ca_file=None) as registry:
            await registry.check_push("team/app")
        return (await session.read(path)).text("password")


async def test_a_release_pushes_with_the_role(home: Path, vault_port: int, registry_host: str) -> None:
    """The role leads to the credential, and the credential into the registry, which lets nobody else in."""
    await push(home, vault_port, registry_host)

    class Stranger:
        async def credential(self, host: str) -> None:
            return None

    async with RegistryClient(registry_host, Stranger(), insecure=True, ca_file=None) as registry:
        with pytest.raises(RegistryUnauthorized):
            await registry.ping()


async def sign(home: Path, vault_port: int) -> str:
    """Sign as a release does; gives the key's fingerprint."""
    async with VaultSession(release_access(home, vault_port)) as session:
        key = TransitKey(session, TransitPath.parse(SIGNING_KEY))
        public = await key.public_key()
        assert TrustedKeys([public]).verify(b"a message", await key.sign(b"a message")) == public
        return public.fingerprint


async def test_a_release_signs_with_the_role(home: Path, vault_port: int, registry_host: str) -> None:
    """The same key after another start, and with a role that was made anew."""
    before = await sign(home, vault_port)
    prepare_vault(home, vault_port, registry_host)
    assert await sign(home, vault_port) == before
    approle_file(home).unlink()
    prepare_vault(home, vault_port, registry_host)
    assert await sign(home, vault_port) == before


async def test_a_home_of_an_earlier_version_gets_a_key(home: Path, vault_port: int, registry_host: str) -> None:
    """The role of before there was a key keeps its secret id, and the registry its password."""
    before = state(home)
    with VaultApi(vault_port) as api, root_token(home, api) as root:
        root.call("DELETE", "sys/mounts/transit")
        rules = 'path "secret/data/slipway/registry" { capabilities = ["read"] }'
        root.call("POST", "sys/policies/acl/slipway-release", {"policy": rules})
    prepare_vault(home, vault_port, registry_host)
    assert state(home) == before
    await sign(home, vault_port)
    await push(home, vault_port, registry_host)


async def test_the_role_may_use_just_the_credential_and_the_key(
    home: Path, vault_port: int, registry_host: str
) -> None:
    """No other path, no listing, no writing; no other key, no other operation."""
    async with VaultSession(release_access(home, vault_port)) as session:
        for path in ("vault:secret/slipway/other", "vault:secret/slipway", "vault:sys/x"):
            with pytest.raises(VaultDenied):
                await session.read(SecretPath.parse(path))
    role = json.loads(approle_file(home).read_text())
    with VaultApi(vault_port) as api:
        token = api.with_token(api.call("POST", "auth/approle/login", role)["auth"]["client_token"])
        for method, path in (
            ("LIST", "secret/metadata/slipway"),
            ("POST", "secret/data/slipway/registry"),
            ("POST", "transit/keys/other"),
            ("POST", "transit/keys/release/rotate"),
            ("DELETE", "transit/keys/release"),
            ("GET", "transit/export/signing-key/release"),
        ):
            with pytest.raises(DaemonFailed, match="HTTP 403"):
                token.call(method, path, {"data": {}})
        token.call("POST", "auth/token/revoke-self")


async def test_preparing_again_changes_nothing(home: Path, vault_port: int, registry_host: str) -> None:
    """A second `up` leaves role, key and password as they are, and no token behind."""
    before = state(home)
    with VaultApi(vault_port) as api, root_token(home, api) as root:
        tokens = set(root.call("LIST", "auth/token/accessors")["data"]["keys"])
        prepare_vault(home, vault_port, registry_host)
        assert set(root.call("LIST", "auth/token/accessors")["data"]["keys"]) == tokens
        policies = [
            root.call("POST", "auth/token/lookup-accessor", {"accessor": each})["data"]["policies"] for each in tokens
        ]
    assert state(home) == before
    assert policies.count(["root"]) == 1  # this test's own


async def test_a_restarted_vault_is_unsealed(home: Path, vault: Daemon, vault_port: int, registry_host: str) -> None:
    """After a restart it is sealed; preparing unseals it and changes nothing else."""
    before = state(home)
    vault.stop()
    vault.start()
    with VaultApi(vault_port) as api:
        assert api.call("GET", "sys/seal-status")["sealed"]
    prepare_vault(home, vault_port, registry_host)
    assert state(home) == before
    await push(home, vault_port, registry_host)


@pytest.mark.parametrize("lost", ["vault/approle.json", "registry/htpasswd"])
async def test_what_was_lost_is_made_anew(home: Path, vault_port: int, registry_host: str, lost: str) -> None:
    """Without the role's file or the registry's users all of it is made anew and fits together."""
    before = await push(home, vault_port, registry_host)
    (home / lost).unlink()
    prepare_vault(home, vault_port, registry_host)
    assert await push(home, vault_port, registry_host) != before


async def test_another_registry_port_gets_its_own_credential(home: Path, vault_port: int, registry_host: str) -> None:
    """The secret names the registry of now; the role that was given out before is worthless."""
    before = state(home)
    prepare_vault(home, vault_port, "127.0.0.1:1")
    async with VaultSession(release_access(home, vault_port)) as session:
        assert (await session.read(SecretPath.parse(REGISTRY_SECRET)))["registry"] == "127.0.0.1:1"
    with VaultApi(vault_port) as api, pytest.raises(DaemonFailed, match="HTTP 400"):
        api.call("POST", "auth/approle/login", json.loads(before["vault/approle.json"]))
    prepare_vault(home, vault_port, registry_host)
    await push(home, vault_port, registry_host)


async def test_the_password_is_nowhere_but_in_vault(
    home: Path, vault: Daemon, vault_port: int, registry_host: str
) -> None:
    """Not in a file, a log, an argument or the environment of a part; files are the owner's alone."""
    password = (await push(home, vault_port, registry_host)).encode()
    for file in home.rglob("*"):
        if file.is_file():
            assert password not in file.read_bytes(), file
    process = vault.process()
    assert process is not None
    assert password.decode() not in " ".join(process.cmdline()) + repr(psutil.Process(process.pid).environ())
    for name in ("vault", "vault/data", "registry"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o700, name
    for name in ("vault/approle.json", "vault/unseal.json", "vault/config.json", "registry/htpasswd"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name


async def test_a_lost_unseal_key_is_told(home: Path, vault: Daemon, vault_port: int, registry_host: str) -> None:
    """A sealed Vault without its key is a named cause with a way out; with the key it goes on."""
    key = home / "vault" / "unseal.json"
    text = key.read_text()
    key.unlink()
    vault.stop()
    vault.start()
    with pytest.raises(DaemonFailed, match="--purge"):
        prepare_vault(home, vault_port, registry_host)
    key.write_text(text)
    prepare_vault(home, vault_port, registry_host)
    await push(home, vault_port, registry_host)


def test_nobody_listening_is_told(tmp_path: Path) -> None:
    """Preparing a Vault that is not there names the address."""
    port = free_port()
    with pytest.raises(DaemonFailed, match=f"127.0.0.1:{port}"):
        prepare_vault(tmp_path, port, "127.0.0.1:1")

"""A key in the Transit engine of a real OpenBao, used by a role with the shipped policy and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import prefect_slipway.infra.common
from prefect_slipway.infra.domain.errors import (
    KeyVersionRefused,
    SigningKeyMissing,
    SigningKeyUnsuitable,
    TransitMissing,
    UntrustedKey,
    VaultDenied,
    VaultProtocolError,
    VaultSealed,
    VaultTokenExpired,
)
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.signing.keys import TrustedKeys
from prefect_slipway.infra.vault.access import AppRoleAuth, TokenAuth, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath
from tests.faults import front
from tests.servers import VaultServer, vault_server
from tests.signers import KEY_TYPES

MESSAGE = "what is signed ünd more\n".encode() * 100

Make = Callable[..., TransitPath]


@pytest.fixture
def make(vault: VaultServer, name: str) -> Make:
    """Makes a key of a type in an engine of this test's own."""
    vault.root.call("POST", f"sys/mounts/{name}", {"type": "transit"})

    def make(kind: str = "ecdsa-p256", key: str = "release", **settings: Any) -> TransitPath:
        vault.root.call("POST", f"{name}/keys/{key}", {"type": kind, **settings})
        return TransitPath.parse(f"vault:{name}/{key}")

    return make


def session(vault: VaultServer, policy: str, *, default_policy: bool = False) -> VaultSession:
    """With a token that has this policy, and not even Vault's default one."""
    role = f"r{abs(hash(policy))}"
    vault.root.call("POST", f"sys/policies/acl/{role}", {"policy": policy})
    token = vault.token(policies=[role], ttl="10m", no_default_policy=not default_policy)["client_token"]
    return VaultSession(VaultAccess(vault.address, TokenAuth(str(token))))


def rotate(vault: VaultServer, path: TransitPath) -> None:
    vault.root.call("POST", f"{path.mount}/keys/{path.key}/rotate", {})


def configure(vault: VaultServer, path: TransitPath, **settings: Any) -> None:
    vault.root.call("POST", f"{path.mount}/keys/{path.key}/config", settings)


def test_the_shipped_policy_is_for_the_key_that_it_names() -> None:
    """The file is the policy of vault:transit/release; of another key it is the same with other names."""
    text = Path(prefect_slipway.infra.common.__file__).with_name("sign-policy.hcl").read_text()
    rules = TransitPath("transit", "release").policy
    assert [line for line in text.splitlines() if not line.startswith("#")] == rules.splitlines()
    assert TransitPath("team/a", "app.key").policy.splitlines() == [
        'path "team/a/sign/app.key" { capabilities = ["update"] }',
        'path "team/a/keys/app.key" { capabilities = ["read"] }',
    ]


@pytest.mark.parametrize("kind", KEY_TYPES)
async def test_the_shipped_policy_suffices_for_each_type_of_key(vault: VaultServer, make: Make, kind: str) -> None:
    """A token with those two rules alone reads the public key, and signs what it verifies."""
    path = make(kind)
    async with session(vault, path.policy) as vault_session:
        key = TransitKey(vault_session, path)
        public = await key.public_key()
        assert (public.name, public.version) == (str(path), 1)
        trusted = TrustedKeys(await key.public_keys())
        for message in (MESSAGE, b""):
            assert trusted.verify(message, await key.sign(message)) == public
        with pytest.raises(UntrustedKey):
            trusted.verify(MESSAGE + b"x", await key.sign(MESSAGE))


async def test_the_shipped_policy_allows_nothing_else(vault: VaultServer, make: Make) -> None:
    """Not a key whose name begins alike, not another operation, not the key's settings."""
    path, other = make(), make(key="release-of-others")
    async with session(vault, path.policy) as vault_session:
        with pytest.raises(VaultDenied):
            await TransitKey(vault_session, other).public_key()
        body = {"input": "eA=="}
        for method, operation in (
            ("POST", f"{path.mount}/sign/{other.key}"),
            ("POST", f"{path.mount}/sign/{path.key}/sha2-512"),
            ("POST", f"{path.mount}/verify/{path.key}"),
            ("POST", f"{path.mount}/keys/{path.key}/rotate"),
            ("POST", f"{path.mount}/keys/{path.key}/config"),
            ("GET", f"{path.mount}/export/signing-key/{path.key}"),
            ("DELETE", f"{path.mount}/keys/{path.key}"),
        ):
            with pytest.raises(VaultDenied):
                await vault_session.request(method, operation, body, doing="trying it")


async def test_a_mounts_name_may_have_slashes(vault: VaultServer, name: str) -> None:
    """A key's name has none, so the last part is the key."""
    mount = f"{name}/team/a"
    vault.root.call("POST", f"sys/mounts/{mount}", {"type": "transit"})
    vault.root.call("POST", f"{mount}/keys/release", {"type": "ed25519"})
    path = TransitPath.parse(f"vault:{mount}/release")
    async with session(vault, path.policy) as vault_session:
        key = TransitKey(vault_session, path)
        assert TrustedKeys([await key.public_key()]).verify(b"x", await key.sign(b"x"))


async def test_a_rotated_key_signs_by_its_newest_version_and_keeps_the_old_ones(vault: VaultServer, make: Make) -> None:
    """A signer keeps the version that it began with; the next one takes the newest; a named one stays possible."""
    path = make()
    async with session(vault, path.policy) as vault_session:
        first = TransitKey(vault_session, path)
        old = await first.sign(MESSAGE)
        rotate(vault, path)
        assert (await first.public_key()).version == 1
        second, named = TransitKey(vault_session, path), TransitKey(vault_session, path, version=1)
        assert [key.version for key in await second.public_keys()] == [2, 1]
        trusted = TrustedKeys(await second.public_keys())
        for signature, version in (
            (old, 1),
            (await first.sign(MESSAGE), 1),
            (await second.sign(MESSAGE), 2),
            (await named.sign(MESSAGE), 1),
        ):
            assert trusted.verify(MESSAGE, signature).version == version


async def test_a_version_is_revoked_by_the_keys_minimum(vault: VaultServer, make: Make) -> None:
    """Below min_decryption_version nothing is verified any more, as Vault itself has it."""
    path = make()
    async with session(vault, path.policy) as vault_session:
        key = TransitKey(vault_session, path)
        revoked = await key.sign(MESSAGE)
        rotate(vault, path)
        rotate(vault, path)
        configure(vault, path, min_decryption_version=2)
        allowed = await TransitKey(vault_session, path).public_keys()
        assert [each.version for each in allowed] == [3, 2]
        with pytest.raises(UntrustedKey, match="version 3"):
            TrustedKeys(allowed).verify(MESSAGE, revoked)


@pytest.mark.parametrize("version", [0, 1, 2, 4])
async def test_a_version_that_must_not_sign_is_refused(vault: VaultServer, make: Make, version: int) -> None:
    """One below either minimum, or one that does not exist; those that may are named."""
    path = make()
    rotate(vault, path)
    rotate(vault, path)
    configure(vault, path, min_decryption_version=2, min_encryption_version=3)
    async with session(vault, path.policy) as vault_session:
        with pytest.raises(KeyVersionRefused, match="usable versions: 3"):
            await TransitKey(vault_session, path, version=version).sign(MESSAGE)


async def test_a_minimum_that_rises_meanwhile_is_the_same_cause(vault: VaultServer, make: Make) -> None:
    """Vault answers 500, which is no reason to try again."""
    path = make()
    async with session(vault, path.policy) as vault_session:
        key = TransitKey(vault_session, path)
        await key.public_key()
        rotate(vault, path)
        configure(vault, path, min_encryption_version=2)
        with pytest.raises(KeyVersionRefused) as caught:
            await key.sign(MESSAGE)
    assert not caught.value.retryable


async def test_many_sign_at_once(vault: VaultServer, make: Make) -> None:
    """Tasks share a signer, its version and the session."""
    path = make("ed25519")
    async with session(vault, path.policy) as vault_session:
        key = TransitKey(vault_session, path)
        messages = [str(number).encode() for number in range(12)]
        signatures = await asyncio.gather(*(key.sign(message) for message in messages))
        trusted = TrustedKeys([await key.public_key()])
        for message, signature in zip(messages, signatures, strict=True):
            trusted.verify(message, signature)


@pytest.mark.parametrize(("kind", "signs"), [("ecdsa-p256", True), ("rsa-2048", True), ("ed25519", False)])
async def test_a_large_message_does_not_travel(vault: VaultServer, make: Make, kind: str, signs: bool) -> None:
    """Of ECDSA and RSA only the digest does; Ed25519 has no such way, and above Vault's limit that is told."""
    path = make(kind)
    message = b"x" * 30_000_000
    async with session(vault, path.policy) as vault_session:
        key = TransitKey(vault_session, path)
        if signs:
            TrustedKeys([await key.public_key()]).verify(message, await key.sign(message))
        else:
            with pytest.raises(SigningKeyUnsuitable, match="ecdsa-p256"):
                await key.sign(message)


@pytest.mark.parametrize(
    ("kind", "settings"), [("aes256-gcm96", {}), ("ecdsa-p521", {}), ("ed25519", {"derived": True})]
)
async def test_a_key_of_another_type_is_refused(
    vault: VaultServer, make: Make, kind: str, settings: dict[str, Any]
) -> None:
    """The cause names its type, the action those that are possible."""
    path = make(kind, **settings)
    async with session(vault, path.policy) as vault_session:
        for call in (TransitKey(vault_session, path).public_keys(), TransitKey(vault_session, path).sign(MESSAGE)):
            with pytest.raises(SigningKeyUnsuitable, match=rf"{kind}.*\n.*ecdsa-p256, ecdsa-p384, ed25519"):
                await call


async def test_a_missing_key_is_told(vault: VaultServer, make: Make) -> None:
    """One that was never made, one that was deleted after it was looked at, one that is soft-deleted."""
    path = make()
    never = TransitPath(path.mount, "never")
    async with session(vault, f"{path.policy}\n{never.policy}") as vault_session:
        with pytest.raises(SigningKeyMissing, match="bao write -f"):
            await TransitKey(vault_session, never).public_key()
        key = TransitKey(vault_session, path)
        await key.public_key()
        vault.root.call("DELETE", f"{path.mount}/keys/{path.key}/soft-delete")
        for call in (key.sign(MESSAGE), TransitKey(vault_session, path).public_keys()):
            with pytest.raises(SigningKeyMissing, match="soft-delete-restore"):
                await call
        vault.root.call("POST", f"{path.mount}/keys/{path.key}/soft-delete-restore", {})
        configure(vault, path, deletion_allowed=True)
        vault.root.call("DELETE", f"{path.mount}/keys/{path.key}")
        with pytest.raises(SigningKeyMissing):
            await key.sign(MESSAGE)


async def test_a_mount_that_is_no_transit_engine_is_told(vault: VaultServer, name: str) -> None:
    """Nothing mounted there, or an engine of another type."""
    vault.root.call("POST", f"sys/mounts/{name}-v1", {"type": "kv"})
    vault.root.call("POST", f"{name}-v1/keys/full", {"type": "something"})
    paths = [TransitPath(mount, "release") for mount in (f"{name}-none", "secret", f"{name}-v1")]
    paths.append(TransitPath(f"{name}-v1", "full"))
    async with session(vault, "\n".join(path.policy for path in paths)) as vault_session:
        for path in paths:
            with pytest.raises(TransitMissing, match=path.mount):
                await TransitKey(vault_session, path).public_key()


@pytest.mark.parametrize("default_policy", [True, False])
async def test_a_missing_permission_names_the_rules_that_are_needed(
    vault: VaultServer, make: Make, default_policy: bool
) -> None:
    """Whether the token may look itself up or not; the rules are those of the key that was asked for."""
    path = make()
    read_only = path.policy.splitlines()[1]
    async with session(vault, read_only, default_policy=default_policy) as vault_session:
        key = TransitKey(vault_session, path)
        assert await key.public_keys()
        with pytest.raises(VaultDenied) as caught:
            await key.sign(MESSAGE)
    assert path.policy in str(caught.value)
    assert str(path) in caught.value.cause


async def test_a_token_that_is_no_more_is_not_taken_for_a_missing_permission(vault: VaultServer, make: Make) -> None:
    """A revoked token, and one that never was."""
    path = make()
    token = str(vault.token(policies=["root"])["client_token"])
    vault.root.call("POST", "auth/token/revoke", {"token": token})
    for gone in (token, "s.never"):
        async with VaultSession(VaultAccess(vault.address, TokenAuth(gone))) as vault_session:
            with pytest.raises(VaultTokenExpired):
                await TransitKey(vault_session, path).public_key()


async def test_an_own_token_that_ended_is_replaced(vault: VaultServer, make: Make, name: str) -> None:
    """A session that logs in itself signs on after its token was revoked."""
    path = make()
    role = vault.approle(name, path.policy)
    auth = AppRoleAuth(role["role_id"], role["secret_id"])
    async with VaultSession(VaultAccess(vault.address, auth)) as vault_session:
        key = TransitKey(vault_session, path)
        await key.sign(MESSAGE)
        accessors = vault.root.call("LIST", "auth/token/accessors")["data"]["keys"]
        for accessor in accessors:
            found = vault.root.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            if name in found["policies"]:
                vault.root.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
        assert await key.sign(MESSAGE)


async def test_a_secret_is_read_by_a_token_without_the_default_policy(vault: VaultServer, name: str) -> None:
    """It may not look itself up, which is not a token that ended: what it may not read is denied, not expired."""
    vault.put(f"secret/{name}", {"password": "x"})
    async with session(vault, f'path "secret/data/{name}" {{ capabilities = ["read"] }}') as vault_session:
        assert (await vault_session.read(SecretPath("secret", name))).text("password") == "x"
        with pytest.raises(VaultDenied):
            await vault_session.read(SecretPath("secret", f"{name}-other"))


async def test_a_sealed_vault_is_told(tmp_path: Path) -> None:
    """Before the key is read, and after."""
    with vault_server(tmp_path) as server:
        server.root.call("POST", "sys/mounts/transit", {"type": "transit"})
        server.root.call("POST", "transit/keys/release", {"type": "ed25519"})
        path = TransitPath("transit", "release")
        async with session(server, path.policy) as vault_session:
            key = TransitKey(vault_session, path)
            await key.public_key()
            server.seal()
            try:
                for call in (key.sign(MESSAGE), TransitKey(vault_session, path).public_key()):
                    with pytest.raises(VaultSealed):
                        await call
            finally:
                server.unseal()
            assert await key.sign(MESSAGE)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"data": {"signature": "vault:v2:eA=="}}',
        b'{"data": {"signature": "eA=="}}',
        b'{"data": {"signature": null}}',
    ],
)
async def test_an_answer_without_a_signature_is_told(vault: VaultServer, make: Make, body: bytes) -> None:
    """Also one by another version of the key than was asked for."""
    path = make()
    token = str(vault.token(policies=["root"])["client_token"])
    with front(f"127.0.0.1:{vault.port}") as fronted:
        fronted.spoil("POST", "/sign/", 200, headers={"Content-Type": "application/json"}, body=body)
        access = VaultAccess(f"http://{fronted.host}", TokenAuth(token))
        async with VaultSession(access) as vault_session:
            with pytest.raises(VaultProtocolError):
                await TransitKey(vault_session, path).sign(MESSAGE)


@pytest.mark.parametrize(
    "keys",
    [
        None,
        {},
        {"1": 17},
        {"1": {"public_key": ""}},
        {"1": {"public_key": "-----BEGIN PUBLIC KEY-----\ncut"}},
        {"one": {"public_key": "A" * 43 + "="}},
    ],
)
async def test_an_answer_without_a_public_key_is_told(vault: VaultServer, make: Make, keys: Any) -> None:
    """None of the versions, or not a key there."""

    path = make()
    data = {"type": "ed25519", "min_decryption_version": 1, "keys": keys}
    token = str(vault.token(policies=["root"])["client_token"])
    with front(f"127.0.0.1:{vault.port}") as fronted:
        body = json.dumps({"data": data}).encode()
        fronted.spoil("GET", "/keys/", 200, headers={"Content-Type": "application/json"}, body=body)
        async with VaultSession(VaultAccess(f"http://{fronted.host}", TokenAuth(token))) as vault_session:
            with pytest.raises((VaultProtocolError, KeyVersionRefused)):
                await TransitKey(vault_session, path).public_key()

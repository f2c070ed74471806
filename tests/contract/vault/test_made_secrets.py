"""Credentials that Vault makes for each reader, with a lease: by its engine for RabbitMQ, on a played server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.secret_path import CredentialPath, SecretPath
from prefect_slipway.infra.vault.access import TokenAuth, VaultAccess
from prefect_slipway.infra.vault.credentials import VaultCredentials
from prefect_slipway.infra.vault.session import VaultSession
from tests.accounts import Accounts, accounts_at
from tests.contract.vault.conftest import reader
from tests.servers import VaultServer
from tests.waiting import calm_looks


@pytest.fixture
def accounts(vault: VaultServer, name: str) -> Iterator[Accounts]:
    """Behind the mount `name`, whose role `push` makes a user for 9 seconds."""
    with accounts_at(vault.root, name, ttl_s=9) as server:
        yield server


async def test_a_made_credential_is_kept_for_its_lease_and_replaced_before_it_ends(
    vault: VaultServer, name: str, accounts: Accounts
) -> None:
    """Not one a call; and the next one while the last one is still good. All are gone with the session."""
    async with reader(vault, name, f"{name}/creds/push") as session:
        source = VaultCredentials(session, {"registry.example": CredentialPath(SecretPath(name, "creds/push"))})
        first = await asyncio.gather(*(source.credential("registry.example") for _ in range(3)))
        assert first[0] is not None
        assert len({each.username for each in first if each is not None}) == 1
        assert accounts.made == 1
        second: Credential | None = first[0]
        async for _ in calm_looks():
            second = await source.credential("registry.example")
            if second != first[0]:
                break
        assert second is not None
        assert second.username != first[0].username
        assert {first[0].username, second.username} <= accounts.users
    await emptied(accounts)


async def test_a_given_token_takes_what_was_made_with_it_back(
    vault: VaultServer, name: str, accounts: Accounts
) -> None:
    """The token lives on; the lease does not."""
    token = str(vault.token(policies=["root"], ttl="10m")["client_token"])
    async with VaultSession(VaultAccess(vault.address, TokenAuth(token))) as session:
        values = await session.read(SecretPath(name, "creds/push"))
        assert values.text("username") in accounts.users
    await emptied(accounts)


async def emptied(accounts: Accounts) -> None:
    """Vault revokes a token's leases a moment after the token."""
    async with asyncio.timeout(10):
        while accounts.users:
            await asyncio.sleep(0.05)

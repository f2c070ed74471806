"""One real OpenBao for the tests of this folder; those that seal or stop one start their own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from prefect_slipway.infra.vault.access import AppRoleAuth, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from tests.servers import VaultServer, vault_server


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture
def name() -> str:
    """A name for this test's role, policy or secret alone."""
    return f"t{uuid.uuid4().hex[:10]}"


def reader(server: VaultServer, name: str, *paths: str, **settings: str) -> VaultSession:
    """A session that logs in by an AppRole which may read just these API paths."""
    policy = "\n".join(f'path "{path}" {{ capabilities = ["read"] }}' for path in paths)
    role = server.approle(name, policy, **settings)
    return VaultSession(VaultAccess(server.address, AppRoleAuth(role["role_id"], role["secret_id"])))

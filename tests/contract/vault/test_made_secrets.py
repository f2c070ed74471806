"""Credentials that Vault makes for each reader, with a lease: by its engine for RabbitMQ, on a played server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.vault import TokenAuth, VaultAccess, VaultCredentials, VaultSession
from tests.contract.vault.conftest import reader
from tests.servers import VaultServer
from tests.waiting import calm_looks


class Accounts(ThreadingHTTPServer):
    """As much of RabbitMQ's management API as makes and removes users."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AccountsHandler)
        self.users: set[str] = set()
        self.made = 0


class AccountsHandler(BaseHTTPRequestHandler):
    server: Accounts

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/api/users/"):
            self.server.users.add(self.path.rpartition("/")[2])
            self.server.made += 1
        self._end(201)

    def do_DELETE(self) -> None:
        self.server.users.discard(self.path.rpartition("/")[2])
        self._end(204)

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _end(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def accounts(vault: VaultServer, name: str) -> Iterator[Accounts]:
    """Behind the mount `name`, whose role `push` makes a user for 9 seconds."""
    with Accounts() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        vault.root.call("POST", f"sys/mounts/{name}", {"type": "rabbitmq"})
        connection = {
            "connection_uri": f"http://127.0.0.1:{server.server_address[1]}",
            "username": "admin",
            "password": "admin",
            "verify_connection": False,
        }
        vault.root.call("POST", f"{name}/config/connection", connection)
        vault.root.call("POST", f"{name}/config/lease", {"ttl": 9, "max_ttl": 60})
        vault.root.call("POST", f"{name}/roles/push", {"vhosts": json.dumps({"/": {"write": ".*"}})})
        yield server
        vault.root.call("DELETE", f"sys/mounts/{name}")
        server.shutdown()


async def test_a_made_credential_is_kept_for_its_lease_and_replaced_before_it_ends(
    vault: VaultServer, name: str, accounts: Accounts
) -> None:
    """Not one a call; and the next one while the last one is still good. All are gone with the session."""
    async with reader(vault, name, f"{name}/creds/push") as session:
        source = VaultCredentials(session, {"registry.example": SecretPath(name, "creds/push")})
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

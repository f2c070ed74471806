"""Credentials that Vault makes for each reader, with a lease: by its engine for RabbitMQ, on a played server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prefect_slipway.infra.local.vault_api import VaultApi
from tests.serving import serving


class Accounts(ThreadingHTTPServer):
    """As much of RabbitMQ's management API as makes and removes users."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AccountsHandler)
        self.users: set[str] = set()
        self.passwords: list[str] = []
        self.made = 0


class AccountsHandler(BaseHTTPRequestHandler):
    server: Accounts

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/api/users/"):
            self.server.passwords.append(json.loads(body)["password"])
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


@contextmanager
def accounts_at(root: VaultApi, mount: str, ttl_s: int) -> Iterator[Accounts]:
    """Behind the mount, whose role `push` makes a user for so many seconds."""
    server = Accounts()
    with serving(server):
        root.call("POST", f"sys/mounts/{mount}", {"type": "rabbitmq"})
        connection = {
            "connection_uri": f"http://127.0.0.1:{server.server_address[1]}",
            "username": "admin",
            "password": "admin",
            "verify_connection": False,
        }
        root.call("POST", f"{mount}/config/connection", connection)
        root.call("POST", f"{mount}/config/lease", {"ttl": ttl_s, "max_ttl": 60 + ttl_s})
        root.call("POST", f"{mount}/roles/push", {"vhosts": json.dumps({"/": {"write": ".*"}})})
        yield server
        root.call("DELETE", f"sys/mounts/{mount}")
    server.server_close()

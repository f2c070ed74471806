"""Real servers for tests: the embedded stack's registry and Vault, stopped at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_slipway.infra.local.daemon import Daemon, DaemonSpec
from prefect_slipway.infra.local.registry import registry_spec, write_users
from prefect_slipway.infra.local.vault import vault_spec
from prefect_slipway.infra.local.vault_api import VaultApi, root_token, unseal
from tests.ports import free_port


@contextmanager
def running(spec: DaemonSpec, home: Path) -> Iterator[Daemon]:
    """A daemon with its log in `home`/log, stopped at the end."""
    daemon = Daemon(spec, home / "run", home / "log")
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


@contextmanager
def registry_server(
    home: Path, users: Mapping[str, str] | None = None, token_auth: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A registry at the `127.0.0.1:PORT` that is given; no users: anyone may push.

    `token_auth`: distribution's `auth.token` settings, in place of users.
    """
    port = free_port()
    write_users(home, users or {})
    spec = registry_spec(home, port)
    if users is None:
        config = home / "registry" / "config.yml"
        settings = json.loads(config.read_text())
        settings["auth"] = {"token": dict(token_auth)} if token_auth else None
        config.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))
    with running(spec, home):
        yield f"127.0.0.1:{port}"


@dataclass(frozen=True)
class VaultServer:
    """An unsealed OpenBao. `root`: its API with a root token, which is in this process's memory only."""

    home: Path
    port: int
    root: VaultApi

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, path: str, values: Mapping[str, Any]) -> None:
        """Write a secret of a KV v2 mount, as `MOUNT/PATH`."""
        mount, _, inner = path.partition("/")
        self.root.call("POST", f"{mount}/data/{inner}", {"data": dict(values)})

    def token(self, **settings: Any) -> dict[str, Any]:
        """A new token's `client_token` and `accessor`; settings as auth/token/create has them."""
        auth: dict[str, Any] = self.root.call("POST", "auth/token/create", settings)["auth"]
        return auth

    def approle(self, name: str, policy: str, **settings: Any) -> dict[str, str]:
        """A role with just this policy: its `role_id` and `secret_id`."""
        self.root.call("POST", f"sys/policies/acl/{name}", {"policy": policy})
        path = f"auth/approle/role/{name}"
        self.root.call("POST", path, {"token_policies": [name], **settings})
        return {
            "role_id": self.root.call("GET", f"{path}/role-id")["data"]["role_id"],
            "secret_id": self.root.call("POST", f"{path}/secret-id")["data"]["secret_id"],
        }

    def seal(self) -> None:
        self.root.call("PUT", "sys/seal")

    def unseal(self) -> None:
        unseal(self.home, self.root)


@contextmanager
def vault_server(home: Path) -> Iterator[VaultServer]:
    """OpenBao with a KV v2 mount `secret` and AppRole logins."""
    port = free_port()
    with running(vault_spec(home, port), home), VaultApi(port) as api:
        unseal(home, api)
        with root_token(home, api) as root:
            server = VaultServer(home, port, root)
            root.enable_kv("secret")
            root.call("POST", "sys/auth/approle", {"type": "approle"})
            yield server

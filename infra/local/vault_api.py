"""The few Vault API calls that set up the embedded Vault.

Sources: OpenBao's API documentation, pages /sys/init, /sys/unseal, /sys/health, /sys/generate-root.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from prefect_slipway.infra.common.private_files import private_folder, write_private
from prefect_slipway.infra.common.reasons import reason
from prefect_slipway.infra.domain.errors import DaemonFailed

_WAIT_TIMEOUT_S = 30.0
_POLL_S = 0.05


class VaultApi:
    """HTTP calls to the embedded Vault, a context manager; all raise DaemonFailed naming path and status."""

    def __init__(self, port: int, token: str | None = None, client: httpx.Client | None = None) -> None:
        self._port = port
        self._token = token
        # Loopback: a proxy named in the environment has no business here, and there is no TLS to verify.
        self._client = client or httpx.Client(base_url=f"http://127.0.0.1:{port}/v1/", timeout=30.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def with_token(self, token: str) -> VaultApi:
        """The same connection, authenticated; closed with its parent."""
        return VaultApi(self._port, token, self._client)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON object, empty if there is none."""
        response = self._send(method, path, body)
        if not response.is_success:
            raise DaemonFailed(
                f"the embedded Vault refused {method} {path} (HTTP {response.status_code})",
                action="look at the Vault part's log; `slipway doctor` checks all parts",
            )
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def wait_for(self, path: str) -> None:
        """Wait until GET `path` succeeds; some of Vault's changes take effect a moment after the call."""
        deadline = time.monotonic() + _WAIT_TIMEOUT_S
        while not self._send("GET", path, None).is_success:
            if time.monotonic() > deadline:
                raise DaemonFailed(f"the embedded Vault did not serve {path} within {_WAIT_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)

    def enable_kv(self, mount: str) -> None:
        """Mount a KV version 2 engine and wait until it serves."""
        self.call("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
        # Until its data is set up it answers 400 to everything.
        self.wait_for(f"{mount}/config")

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        headers = {"X-Vault-Token": self._token} if self._token else {}
        try:
            return self._client.request(method, path, headers=headers, json=body)
        except httpx.TransportError as error:
            raise DaemonFailed(
                f"the embedded Vault does not answer on 127.0.0.1:{self._port} ({reason(error)})"
            ) from error


def unseal(home: Path, api: VaultApi) -> None:
    """Bring a running Vault into service.

    Initialises it with one key, kept in `home`/vault/unseal.json (0600). The root token that initialising
    gives is revoked at once. Raises DaemonFailed.
    """
    root = None if api.call("GET", "sys/init")["initialized"] else _initialise(home, api)
    if api.call("GET", "sys/seal-status")["sealed"]:
        api.call("PUT", "sys/unseal", {"key": _unseal_key(home)})
    # Sealed, initialising and standby answer with other statuses than 200.
    api.wait_for("sys/health")
    if root is not None:
        api.with_token(root).call("POST", "auth/token/revoke-self")


@contextmanager
def root_token(home: Path, api: VaultApi) -> Iterator[VaultApi]:
    """The API with a root token made from the unseal key for this block alone, and revoked at its end."""
    # An attempt that a dead process left unfinished would refuse a new one.
    api.call("DELETE", "sys/generate-root/attempt")
    attempt = api.call("PUT", "sys/generate-root/attempt", {})
    done = api.call("PUT", "sys/generate-root/update", {"key": _unseal_key(home), "nonce": attempt["nonce"]})
    root = api.with_token(_decode(done["encoded_token"], attempt["otp"]))
    try:
        yield root
    finally:
        root.call("POST", "auth/token/revoke-self")


def _initialise(home: Path, api: VaultApi) -> str:
    answer = api.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    write_private(_key_file(home), json.dumps({"unseal_key": answer["keys_base64"][0]}))
    return str(answer["root_token"])


def _unseal_key(home: Path) -> str:
    try:
        return str(json.loads(_key_file(home).read_text(encoding="utf-8"))["unseal_key"])
    except (OSError, ValueError, KeyError) as error:
        raise DaemonFailed(
            f"the embedded Vault is sealed and its key cannot be read from {_key_file(home)}",
            action="restore the file, or start over with `slipway down --purge` (this also deletes its images)",
        ) from error


def _key_file(home: Path) -> Path:
    return private_folder(home / "vault") / "unseal.json"


def _decode(encoded: str, otp: str) -> str:
    """The token that generate-root answers with: base64 without padding, XORed with the one-time password."""
    scrambled = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    return bytes(a ^ b for a, b in zip(scrambled, otp.encode(), strict=True)).decode()

"""The address and login of a Vault. The values keep secrets in memory only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from prefect_slipway.infra.domain.errors import InvalidOption

_SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class InMemory:
    """A value that must not be stored."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} contains a secret and must not be stored")


@dataclass(frozen=True, slots=True)
class TokenAuth(InMemory):
    """A token that somebody else made: it is renewed while it is used, and never revoked."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppRoleAuth(InMemory):
    """Login by role id and secret id. `mount`: where the auth method is mounted."""

    role_id: str
    secret_id: str = field(repr=False)
    mount: str = "approle"


@dataclass(frozen=True, slots=True)
class KubernetesAuth(InMemory):
    """Login by a pod's service account. `token_file` is read at each login, since Kubernetes rotates it."""

    role: str
    mount: str = "kubernetes"
    token_file: Path = _SERVICE_ACCOUNT_TOKEN


@dataclass(frozen=True, slots=True)
class VaultAccess(InMemory):
    """The address and login of a Vault.

    `namespace`: of Vault Enterprise or OpenBao, None for the root namespace. `ca_file`: PEM file of the CAs
    to trust, None for the usual ones. Raises InvalidOption for an address that is not a URL.
    """

    address: str
    auth: TokenAuth | AppRoleAuth | KubernetesAuth
    namespace: str | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        url = urlsplit(self.address)
        if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None:
            raise InvalidOption(
                "the address of Vault is not of the form http(s)://HOST[:PORT]", action="check VAULT_ADDR"
            )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> VaultAccess:
        """Read VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT and one way to log in.

        Empty variables count as unset.

        In this order: VAULT_TOKEN; VAULT_ROLE_ID with VAULT_SECRET_ID; VAULT_KUBERNETES_ROLE, optionally with
        VAULT_KUBERNETES_MOUNT and VAULT_KUBERNETES_TOKEN_FILE. Raises InvalidOption.
        """
        address = env.get("VAULT_ADDR")
        if not address:
            raise InvalidOption("no Vault address was given", action="set VAULT_ADDR")
        ca_file = env.get("VAULT_CACERT")
        return cls(
            address=address.rstrip("/"),
            auth=_auth(env),
            namespace=env.get("VAULT_NAMESPACE") or None,
            ca_file=Path(ca_file) if ca_file else None,
        )


def _auth(env: Mapping[str, str]) -> TokenAuth | AppRoleAuth | KubernetesAuth:
    if token := env.get("VAULT_TOKEN"):
        return TokenAuth(token)
    role_id, secret_id = env.get("VAULT_ROLE_ID"), env.get("VAULT_SECRET_ID")
    if role_id and secret_id:
        return AppRoleAuth(role_id, secret_id)
    if role_id or secret_id:
        raise InvalidOption("only one of VAULT_ROLE_ID and VAULT_SECRET_ID is set", action="set both, or VAULT_TOKEN")
    if role := env.get("VAULT_KUBERNETES_ROLE"):
        return KubernetesAuth(
            role,
            mount=env.get("VAULT_KUBERNETES_MOUNT") or "kubernetes",
            token_file=Path(env.get("VAULT_KUBERNETES_TOKEN_FILE") or _SERVICE_ACCOUNT_TOKEN),
        )
    raise InvalidOption(
        "VAULT_ADDR is set, but no login is",
        action="set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_KUBERNETES_ROLE",
    )

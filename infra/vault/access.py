"""The address and login of a Vault. The values keep secrets in memory only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from prefect_slipway.infra.domain.errors import InvalidOption

_SENT = ("VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID")
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
class GivenToken(InMemory):
    """An identity token that is given once, as GitLab's `id_tokens`."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenFile(InMemory):
    """An identity token in a file, read at each login, since whoever issues it replaces it."""

    path: Path = _SERVICE_ACCOUNT_TOKEN


@dataclass(frozen=True, slots=True)
class GithubToken(InMemory):
    """An identity token that GitHub Actions issues to the job on request.

    `audience`: None for GitHub's default, the address of the repository's owner. See docs.github.com, "OpenID Connect
    reference", the variables ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN.
    """

    url: str
    request_token: str = field(repr=False)
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class JwtAuth(InMemory):
    """Login by a signed token (JWT) that says who runs this: a pod's service account, a job of a CI.

    Vault's auth methods `jwt` and `kubernetes` take it the same way. `mount`: where the method is mounted.
    """

    role: str
    identity: GivenToken | TokenFile | GithubToken
    mount: str = "jwt"


Auth = TokenAuth | AppRoleAuth | JwtAuth


@dataclass(frozen=True, slots=True)
class VaultAccess(InMemory):
    """The address and login of a Vault.

    `namespace`: of Vault Enterprise or OpenBao, None for the root namespace. `ca_file`: PEM file of the CAs
    to trust, None for the usual ones. Raises InvalidOption for an address that is not a URL.
    """

    address: str
    auth: Auth
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
        VAULT_KUBERNETES_TOKEN_FILE; VAULT_JWT_ROLE with VAULT_JWT, VAULT_JWT_FILE or what GitHub Actions sets,
        optionally with VAULT_JWT_AUDIENCE for the latter; the token that `vault login` has stored in the home folder.
        VAULT_APPROLE_MOUNT, VAULT_KUBERNETES_MOUNT and VAULT_JWT_MOUNT say where a method is mounted. Raises
        InvalidOption.
        """
        address = env.get("VAULT_ADDR")
        if not address:
            raise InvalidOption("no Vault address was given", action="set VAULT_ADDR")
        for name in _SENT:
            value = env.get(name, "")
            if value != value.strip() or not value.isprintable():
                raise InvalidOption(
                    f"{name} has a line break, a space at an end, or another character that cannot be sent",
                    action="set it without that; a file's last line break often gets into a secret",
                )
        ca_file = env.get("VAULT_CACERT")
        return cls(
            address=address.rstrip("/"),
            auth=_auth(env),
            namespace=env.get("VAULT_NAMESPACE") or None,
            ca_file=Path(ca_file) if ca_file else None,
        )


def _auth(env: Mapping[str, str]) -> Auth:
    if token := env.get("VAULT_TOKEN"):
        return TokenAuth(token)
    role_id, secret_id = env.get("VAULT_ROLE_ID"), env.get("VAULT_SECRET_ID")
    if role_id and secret_id:
        return AppRoleAuth(role_id, secret_id, mount=env.get("VAULT_APPROLE_MOUNT") or "approle")
    if role_id or secret_id:
        raise InvalidOption("only one of VAULT_ROLE_ID and VAULT_SECRET_ID is set", action="set both, or VAULT_TOKEN")
    if role := env.get("VAULT_KUBERNETES_ROLE"):
        file = TokenFile(Path(env.get("VAULT_KUBERNETES_TOKEN_FILE") or _SERVICE_ACCOUNT_TOKEN))
        return JwtAuth(role, file, mount=env.get("VAULT_KUBERNETES_MOUNT") or "kubernetes")
    if role := env.get("VAULT_JWT_ROLE"):
        return JwtAuth(role, _identity(env), mount=env.get("VAULT_JWT_MOUNT") or "jwt")
    if token := _stored_token(env):
        return TokenAuth(token)
    raise InvalidOption(
        "VAULT_ADDR is set, but no login is",
        action="run `vault login` or `bao login`, or set VAULT_TOKEN, VAULT_ROLE_ID and VAULT_SECRET_ID, "
        "VAULT_KUBERNETES_ROLE or VAULT_JWT_ROLE",
    )


def _identity(env: Mapping[str, str]) -> GivenToken | TokenFile | GithubToken:
    if token := env.get("VAULT_JWT"):
        return GivenToken(token)
    if file := env.get("VAULT_JWT_FILE"):
        return TokenFile(Path(file))
    url, request_token = env.get("ACTIONS_ID_TOKEN_REQUEST_URL"), env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url and request_token:
        return GithubToken(url, request_token, env.get("VAULT_JWT_AUDIENCE") or None)
    raise InvalidOption(
        "VAULT_JWT_ROLE is set, but there is no token to log in with",
        action="set VAULT_JWT or VAULT_JWT_FILE; in GitHub Actions, give the job the permission `id-token: write`",
    )


def _stored_token(env: Mapping[str, str]) -> str | None:
    """What the clients of Vault and OpenBao store at a login (their documentation, "Token helper")."""
    try:
        return (Path(env["HOME"]) / ".vault-token").read_text(encoding="utf-8").strip() or None
    except (KeyError, OSError, UnicodeDecodeError):
        return None

"""A session with Vault: logs in at first use, keeps its token alive, and revokes it at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from prefect_slipway.infra.domain.errors import (
    InvalidOption,
    KvVersionMismatch,
    SecretMissing,
    VaultDenied,
    VaultError,
    VaultProtocolError,
    VaultTokenExpired,
)
from prefect_slipway.infra.domain.reference import is_loopback
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.vault.access import AppRoleAuth, JwtAuth, TokenAuth, VaultAccess
from prefect_slipway.infra.vault.answers import denied_by_policy
from prefect_slipway.infra.vault.identity import identity_token
from prefect_slipway.infra.vault.secrets import SecretValues

if TYPE_CHECKING:
    # hvac, and requests below it, take 0.1 s to import, which whoever reads no secret does not pay.
    import hvac

    from prefect_slipway.infra.vault.http import VaultHttp

_T = TypeVar("_T")
_MIN_WAIT_S = 0.5
_KV = frozenset({"kv", "generic"})
# A secret made for this session is used for this part of its lease; the next one is made before it ends, and who has
# just been given it can still use it.
_USED = 2 / 3


@dataclass(eq=False)
class _Lease:
    """A token with its client.

    `ttl_s`: seconds it lives when not renewed, 0 for ever or unknown. `own`: this session logged in for it.
    """

    client: hvac.Client
    ttl_s: float
    renewable: bool
    own: bool


@dataclass(eq=False)
class _Made:
    """A secret that an engine has made, and until when it is given (a time of the event loop)."""

    values: SecretValues
    until: float


class VaultSession:
    """Reads secrets; an async context manager, usable by many tasks of one event loop at once.

    Every method raises VaultErrors. Nothing is retried, but after a new login the read whose token was no
    longer valid. `outlived`: what Vault has made for it is used after its end, and ends with its lease, not with the
    session. `timeout_s`: seconds without a byte until a call is given up; a cancelled call's thread may
    live on for as long.
    """

    def __init__(self, access: VaultAccess, *, outlived: bool = False, timeout_s: float = 15.0) -> None:
        self._access = access
        self._outlived = outlived
        self._timeout_s = timeout_s
        self._http: VaultHttp | None = None
        self._login: asyncio.Task[_Lease] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._made: dict[SecretPath, _Made] = {}
        self._making = asyncio.Lock()
        self._lease_ids: list[str] = []

    async def __aenter__(self) -> Self:
        ca_file = self._access.ca_file
        if ca_file is not None and not ca_file.is_file():
            raise InvalidOption(f"the CA file {ca_file} does not exist", action="check VAULT_CACERT")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Revoke the token, if this session made it, else what was made for it; let go of all connections. Raises no
        VaultError.
        """
        try:
            if self._renewal is not None:
                self._renewal.cancel()
                await asyncio.wait([self._renewal])
            if self._login is not None:
                await asyncio.wait([self._login])
                if not _failed(self._login):
                    await self._revoke(self._login.result())
        finally:
            self._login = self._renewal = None
            self._made.clear()
            if self._http is not None:
                self._http.close()

    async def _revoke(self, lease: _Lease) -> None:
        if self._outlived and self._lease_ids:
            return
        if lease.own:  # Vault revokes what was made with a token along with it
            with suppress(VaultError):
                await self._call("revoking the token", lease.client.auth.token.revoke_self)
            return
        for lease_id in self._lease_ids:
            with suppress(VaultError):
                await self._call("revoking a lease", partial(lease.client.sys.revoke_lease, lease_id))

    async def read(self, path: SecretPath) -> SecretValues:
        """The latest version of a secret; of an engine that makes secrets, one that was made for this session, and
        another when its lease nears its end.

        Raises SecretMissing (deleted versions too), KvVersionMismatch, VaultDenied, VaultTokenExpired (for a
        given token; an own one is replaced) and what any call to Vault raises.
        """
        made = self._made.get(path)
        if made is not None and asyncio.get_running_loop().time() < made.until:
            return made.values
        return await self._with_token(f"reading {path}", lambda lease: self._read(lease, path))

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, doing: str
    ) -> dict[str, Any]:
        """Call Vault's API and return its answer's `data`.

        `path`: below /v1/. `doing`: what errors say was tried ("signing with vault:transit/app").
        """

        async def attempt(lease: _Lease) -> Any:
            try:
                return await self._call(doing, lambda: lease.client.adapter.request(method, f"/v1/{path}", json=body))
            except VaultDenied as error:
                await self._check_token(lease, doing, error)
                raise

        answer = await self._with_token(doing, attempt)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict):
            raise VaultProtocolError(f"{doing}: Vault's answer contains no data")
        return data

    async def _with_token(self, doing: str, attempt: Callable[[_Lease], Awaitable[_T]]) -> _T:
        """Call with the current token, and once more with a new one if Vault does not know it any more."""
        lease = await self._lease()
        try:
            return await attempt(lease)
        except VaultTokenExpired:
            if not lease.own:
                raise
        self._forget(lease)
        try:
            return await attempt(await self._lease())
        except VaultTokenExpired as error:
            # A new token is not expired: its policies allow neither the path nor looking itself up.
            raise VaultDenied(f"{doing}: Vault at {self._access.address} denies it (HTTP 403)") from error

    async def _read(self, lease: _Lease, path: SecretPath) -> SecretValues:
        kv = lease.client.secrets.kv.v2
        try:
            answer = await self._call(
                f"reading {path}",
                lambda: kv.read_secret_version(path.path, mount_point=path.mount, raise_on_deleted_version=True),
            )
        except (VaultDenied, SecretMissing) as error:
            if isinstance(error, VaultDenied):
                await self._check_token(lease, f"reading {path}", error)
            mount = await self._mount(lease, path)
            if mount is None:
                raise
            if mount.get("type") not in _KV:
                return await self._make(lease, path)
            located = _within(mount, path)
            if located == path:
                raise
            return await self._read(lease, located)
        try:
            # A KV v1 secret that happens to lie below `data/` has no such envelope.
            return SecretValues(path, answer["data"]["data"] if "metadata" in answer["data"] else _no_envelope(path))
        except (KeyError, TypeError) as error:
            raise VaultProtocolError(f"reading {path}: Vault's answer contains no secret") from error

    async def _make(self, lease: _Lease, path: SecretPath) -> SecretValues:
        """Read a path of an engine other than KV; its answer was made for this reader."""
        async with self._making:
            loop = asyncio.get_running_loop()
            made = self._made.get(path)
            if made is not None and loop.time() < made.until:
                return made.values
            answer = await self._call(
                f"reading {path}", lambda: lease.client.adapter.get(f"/v1/{path.mount}/{path.path}")
            )
            try:
                values, lease_s = SecretValues(path, answer["data"]), float(answer.get("lease_duration") or 0)
            except (KeyError, TypeError, ValueError) as error:
                raise VaultProtocolError(f"reading {path}: Vault's answer contains no secret") from error
            self._made[path] = _Made(values, loop.time() + lease_s * _USED)
            if answer.get("lease_id"):
                self._lease_ids.append(str(answer["lease_id"]))
            return values

    async def _check_token(self, lease: _Lease, doing: str, denied: VaultDenied) -> None:
        """Tell a policy from a token that is no more: Vault answers 403 to both."""
        try:
            await self._call("looking up the token", lease.client.auth.token.lookup_self)
        except VaultDenied as error:
            if denied_by_policy(error):
                return
            raise VaultTokenExpired(
                f"{doing}: Vault at {self._access.address} does not know the token, or no longer"
            ) from denied

    async def _mount(self, lease: _Lease, path: SecretPath) -> dict[str, Any] | None:
        """What mount a path belongs to, as the `vault kv` command asks it; None if Vault does not tell."""
        url = f"/v1/sys/internal/ui/mounts/{path.mount}/{path.path}"
        try:
            answer = await self._call("looking up the mount", lambda: lease.client.adapter.get(url))
            mount: dict[str, Any] = answer["data"]
        except (VaultError, KeyError, TypeError):
            return None
        return mount

    async def _lease(self) -> _Lease:
        """The current token; logs in if there is none. Concurrent callers share one login."""
        if self._login is None or _failed(self._login):
            self._login = asyncio.create_task(self._log_in())
        # Shielded: a caller that is cancelled must not lose a token; close() waits for it and revokes it.
        return await asyncio.shield(self._login)

    def _forget(self, lease: _Lease) -> None:
        login = self._login
        if login is not None and login.done() and not _failed(login) and login.result() is lease:
            self._login = None

    async def _log_in(self) -> _Lease:
        auth = self._access.auth
        if isinstance(auth, TokenAuth):
            lease = await self._adopt(auth.token)
        else:
            lease = await self._obtain(auth)
        if lease.renewable and lease.ttl_s > 0:
            if self._renewal is not None:
                self._renewal.cancel()
            self._renewal = asyncio.create_task(self._keep_alive(lease))
        return lease

    async def _adopt(self, token: str) -> _Lease:
        client = self._client(token)
        try:
            data = (await self._call("looking up the token", client.auth.token.lookup_self))["data"]
        except VaultDenied:
            # A token may do without the right to look itself up; if it is expired, the first read says so.
            return _Lease(client, 0.0, renewable=False, own=False)
        except (KeyError, TypeError) as error:
            raise VaultProtocolError(f"Vault at {self._access.address} does not describe the token") from error
        return _Lease(client, float(data.get("ttl") or 0), bool(data.get("renewable")), own=False)

    async def _obtain(self, auth: AppRoleAuth | JwtAuth) -> _Lease:
        # An empty token keeps hvac from looking for one in the environment and the home folder.
        client = self._client("")
        answer = await self._call("logging in", lambda: _login(client, auth), login=True)
        try:
            granted = answer["auth"]
            return _Lease(
                self._client(granted["client_token"]),
                float(granted["lease_duration"]),
                bool(granted["renewable"]),
                own=True,
            )
        except (KeyError, TypeError) as error:
            raise VaultProtocolError(f"Vault at {self._access.address} did not return a token") from error

    async def _keep_alive(self, lease: _Lease) -> None:
        wait_s = lease.ttl_s * 2 / 3
        while True:
            await asyncio.sleep(max(wait_s, _MIN_WAIT_S))
            try:
                answer = await self._call("renewing the token", lease.client.auth.token.renew_self)
                wait_s = float(answer["auth"]["lease_duration"]) * 2 / 3
            except (VaultError, KeyError, TypeError) as error:
                if not isinstance(error, VaultError) or not error.retryable:
                    # The next read finds out, and logs in again if it can.
                    return
                wait_s = lease.ttl_s / 12

    def _client(self, token: str) -> hvac.Client:
        import hvac

        if self._http is None:
            self._http = self._connections()
        return hvac.Client(
            url=self._access.address,
            token=token,
            namespace=self._access.namespace,
            session=self._http,
            timeout=(min(5.0, self._timeout_s), self._timeout_s),
        )

    def _connections(self) -> VaultHttp:
        from prefect_slipway.infra.vault.http import VaultHttp

        http = VaultHttp()
        # hvac takes a given session's `verify` over its own parameter.
        http.verify = str(self._access.ca_file) if self._access.ca_file is not None else True
        # Calls are few and far between: a connection kept for the next one would mostly be stale by then, and
        # urllib3 closes those of a closed session only when they are collected.
        http.headers["Connection"] = "close"
        http.trust_env = not is_loopback(urlsplit(self._access.address).netloc)
        return http

    async def _call(self, doing: str, call: Callable[[], Any], *, login: bool = False) -> Any:
        from prefect_slipway.infra.vault.errors import LIBRARY_ERRORS, vault_error

        try:
            return await asyncio.to_thread(call)
        except LIBRARY_ERRORS as error:
            raise vault_error(error, self._access.address, doing, login=login) from error


def _failed(login: asyncio.Task[_Lease]) -> bool:
    return login.done() and (login.cancelled() or login.exception() is not None)


def _login(client: hvac.Client, auth: AppRoleAuth | JwtAuth) -> Any:
    if isinstance(auth, AppRoleAuth):
        return client.auth.approle.login(auth.role_id, auth.secret_id, use_token=False, mount_point=auth.mount)
    # The method `kubernetes` has the same endpoint.
    return client.auth.jwt.jwt_login(auth.role, identity_token(auth.identity), use_token=False, path=auth.mount)


def _within(mount: dict[str, Any], path: SecretPath) -> SecretPath:
    """`path` split where its mount ends (a mount's name may have slashes). Raises KvVersionMismatch."""
    name = str(mount.get("path", "")).strip("/")
    version = str((mount.get("options") or {}).get("version", "1"))
    if mount.get("type") in _KV and version != "2":
        raise KvVersionMismatch(f"{path}: the mount {name!r} is KV version {version}, version 2 is needed")
    whole = f"{path.mount}/{path.path}"
    inner = whole.removeprefix(f"{name}/")
    if inner.startswith("data/"):
        raise KvVersionMismatch(
            f"{path}: the part data/ belongs to the API of KV version 2, not to the secret's path",
            action=f"write vault:{name}/{inner.removeprefix('data/')}",
        )
    return SecretPath(name, inner) if name and inner != whole else path


def _no_envelope(path: SecretPath) -> Any:
    raise KvVersionMismatch(f"{path}: the mount {path.mount!r} is KV version 1, version 2 is needed")

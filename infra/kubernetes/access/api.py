"""Kubernetes' API: get, list, apply, delete, watch, logs and streams of objects in one namespace.

Over the official client's asynchronous half, which does authentication, TLS and proxies. Objects are plain dicts, as
the manifests are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Self

import aiohttp

from prefect_slipway.infra.domain.errors import (
    ClusterError,
    ClusterUnauthorized,
    ClusterUnavailable,
    ClusterUnreachable,
    ObjectMissing,
    WatchExpired,
)
from prefect_slipway.infra.kubernetes.access.errors import (
    NO_LOGIN,
    TRANSPORT_ERRORS,
    Asked,
    answer_error,
    transport_error,
)
from prefect_slipway.infra.kubernetes.access.kinds import Kind, Object, kind_of, name_of, shown
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess, Login, log_in

FIELD_MANAGER = "slipway"
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
_WATCH_S = 30
# A watch ends after _WATCH_S seconds; a server that stays silent longer is gone.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_WATCH_S + 10)
_FOLLOW_TRIES = 5
_FOLLOW_PAUSE_S = 0.5


class KubernetesApi:
    """A namespace of a cluster; an async context manager, to be used by many tasks of one event loop at once.

    Every method raises ClusterErrors. Nothing is retried except by `follow`.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._login: Login | None = None
        self._clock_ahead = timedelta()

    async def __aenter__(self) -> Self:
        self._login = await log_in(self._access)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._login is not None:
            await self._login.client.close()
            self._login = None

    def another(self) -> KubernetesApi:
        """A new, unopened client of the same cluster and namespace, for another event loop."""
        return KubernetesApi(self._access)

    @property
    def namespace(self) -> str:
        return self._logged_in().namespace

    @property
    def in_cluster(self) -> bool:
        """Whether this process runs in a pod of the cluster, so that Services can be reached."""
        return self._logged_in().in_cluster

    @property
    def host(self) -> str:
        """The API server, as messages name it."""
        return str(self._logged_in().client.configuration.host)

    def now(self) -> datetime:
        """The API server's time, so that clocks that differ make no lease expire early."""
        return datetime.now(UTC) + self._clock_ahead

    async def get(self, kind: Kind, name: str) -> Object | None:
        """An object, None if there is none. Raises NamespaceMissing only where the API tells (it mostly does not)."""
        try:
            return await self._json("get", kind, name)
        except ObjectMissing:
            return None

    async def find(self, kind: Kind, selector: str = "", fields: str = "") -> list[Object]:
        """All objects of a kind with these labels and fields."""
        return (await self._list(kind, _selectors(selector, fields)))[0]

    async def create(self, obj: Object) -> Object:
        """Make an object. Raises ObjectConflict if there is one of that name."""
        kind = kind_of(obj)
        return await self._json("create", kind, name_of(obj), method="POST", path=kind.path(self.namespace), body=obj)

    async def review(self, kind: Kind, spec: Object) -> Object:
        """The status of a review, which the API server computes without storing it."""
        body = {"apiVersion": kind.api, "kind": kind.name, "spec": spec}
        path = f"/apis/{kind.api}/{kind.plural}"
        return (await self._json("create", kind, "", method="POST", path=path, body=body)).get("status") or {}

    async def apply(self, obj: Object, *, force: bool) -> Object:
        """Make the object or bring it to this state: server-side apply as the field manager `slipway`.

        `force`: take over fields that others set; otherwise that raises ObjectConflict.
        """
        return await self._json(
            "patch",
            kind_of(obj),
            name_of(obj),
            method="PATCH",
            body=obj,
            query={"fieldManager": FIELD_MANAGER, "force": str(force).lower()},
            content_type="application/apply-patch+yaml",
        )

    async def merge(self, kind: Kind, name: str, change: Object, *, strategic: bool = False) -> Object:
        """Change some fields: a JSON merge patch, or `strategic`, where lists of named things are merged by their
        names. Raises ObjectConflict if a `resourceVersion` in it is not the current one, and ObjectMissing.
        """
        return await self._json(
            "patch",
            kind,
            name,
            method="PATCH",
            body=change,
            query={"fieldManager": FIELD_MANAGER},
            content_type=f"application/{'strategic-merge-patch' if strategic else 'merge-patch'}+json",
        )

    async def delete(self, obj: Object, *, kind: Kind, unchanged: bool = False, grace_s: int | None = None) -> bool:
        """Delete exactly this object (by uid), after what it owns; False if it no longer exists.

        `unchanged`: only as it was read; raises ObjectConflict if it is another by now. `grace_s`: seconds a pod has
        to end, None for what it says itself.
        """
        metadata = obj["metadata"]
        preconditions = {"uid": metadata["uid"]}
        if unchanged:
            preconditions["resourceVersion"] = metadata["resourceVersion"]
        options: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": preconditions,
        }
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            await self._json("delete", kind, metadata["name"], method="DELETE", body=options)
        except ObjectMissing:
            return False
        return True

    async def logs(self, pod: str, *, lines: int, container: str | None = None, previous: bool = False) -> str:
        """The last lines of a pod's (only) container. `previous`: of the one that ran before its last restart."""
        query = {"tailLines": str(lines)} | ({"previous": "true"} if previous else {})
        query |= {"container": container} if container is not None else {}
        asked = Asked("get", f"pod/{pod}/log", "pods/log", self.namespace)
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        async with self._request(asked, "GET", path, query=query) as response:
            return (await _body(response, self.host)).decode("utf-8", "replace")

    async def follow(
        self, kind: Kind, *, selector: str = "", name: str | None = None, fields: str = ""
    ) -> AsyncGenerator[dict[str, Object], None]:
        """The matching objects by name: as they are now, and again after each change, by a watch.

        A watch that ended, expired (410) or broke off is taken up again; an API server that is away for some
        seconds ends it with ClusterUnreachable or ClusterUnavailable.
        """
        query = _selectors(selector, f"metadata.name={name}" if name else fields)
        failures = 0
        while True:
            try:
                items, version = await self._list(kind, query)
                objects = {name_of(item): item for item in items}
                yield dict(objects)
                while True:
                    async for change, obj in self._watch(kind, query, version):
                        failures = 0
                        version = obj["metadata"]["resourceVersion"]
                        if change == "BOOKMARK":
                            continue
                        if change == "DELETED":
                            objects.pop(name_of(obj), None)
                        else:
                            objects[name_of(obj)] = obj
                        yield dict(objects)
            except WatchExpired:
                continue
            except (ClusterUnreachable, ClusterUnavailable):
                failures += 1
                if failures >= _FOLLOW_TRIES:
                    raise
                await asyncio.sleep(_FOLLOW_PAUSE_S * 2**failures)

    async def upgrade(
        self, asked: Asked, path: str, protocol: str, further: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """A connection that has become `protocol`'s, by POST; who takes it closes the answer. `further`: headers."""
        login = self._logged_in()
        _, url, headers = await self._prepared("POST", path, None, None)
        settings = login.client.configuration
        try:
            async with asyncio.timeout(_TIMEOUT.total):
                response = await self._session().request(
                    "POST",
                    url,
                    headers={**headers, "Connection": "Upgrade", "Upgrade": protocol, **further},
                    proxy=settings.proxy,
                    proxy_headers=settings.proxy_headers,
                    server_hostname=settings.tls_server_name,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT.sock_connect),
                    allow_redirects=False,
                )
        except TRANSPORT_ERRORS as error:
            raise transport_error(error, self.host) from error
        if response.status == 101:
            return response
        try:
            status, content = response.status, await _body(response, self.host)
        finally:
            response.close()
        raise self._error(asked, status, content, response.headers.get("Retry-After"))

    async def open_socket(
        self, asked: Asked, path: str, query: Mapping[str, str] | list[tuple[str, str]], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket of one of the API server's streaming protocols."""
        login = self._logged_in()
        _, url, headers = await self._prepared("GET", path, query, None)
        settings = login.client.configuration
        try:
            return await self._session().ws_connect(
                url,
                headers=headers,
                protocols=(protocol,),
                proxy=settings.proxy,
                proxy_headers=settings.proxy_headers,
                server_hostname=settings.tls_server_name,
                max_msg_size=0,
                compress=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise self._error(asked, error.status, "", None) from error
        except TRANSPORT_ERRORS as error:
            raise transport_error(error, self.host) from error

    # ---------------------------------------------------------------------------------------------------------

    async def _list(self, kind: Kind, query: dict[str, str]) -> tuple[list[Object], str]:
        answer = await self._json("list", kind, "", query=query)
        items = [{"apiVersion": kind.api, "kind": kind.name, **item} for item in answer.get("items") or ()]
        return items, answer["metadata"]["resourceVersion"]

    async def _watch(self, kind: Kind, query: dict[str, str], version: str) -> AsyncIterator[tuple[str, Object]]:
        asked = Asked("watch", kind.plural, kind.plural, self.namespace)
        query = query | {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        path = kind.path(self.namespace)
        async with self._request(asked, "GET", path, query=query, timeout=_WATCH_TIMEOUT) as response:
            try:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise answer_error(asked, int(event["object"].get("code") or 500), json.dumps(event["object"]))
                    yield event["type"], event["object"]
            except TRANSPORT_ERRORS as error:
                raise transport_error(error, self.host) from error
            except ValueError as error:  # cut off within a line
                raise ClusterUnreachable(f"the API server at {self.host} interrupted a watch") from error

    async def _json(
        self,
        verb: str,
        kind: Kind,
        name: str,
        *,
        method: str = "GET",
        path: str | None = None,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        what = shown(kind, name) if name else kind.plural
        asked = Asked(verb, what, kind.resource, self.namespace)
        path = path or kind.path(self.namespace, name)
        async with self._request(asked, method, path, query=query, body=body, content_type=content_type) as response:
            content = await _body(response, self.host)
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise answer_error(asked, 400, b"") from error
        if not isinstance(answer, dict):
            raise answer_error(asked, 400, b"")
        return answer

    @asynccontextmanager
    async def _request(
        self,
        asked: Asked,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        _, url, headers = await self._prepared(method, path, query, content_type)
        client = self._logged_in().client
        try:
            answer = await client.call_api(method, url, headers, body, None, _request_timeout=timeout)
        except TRANSPORT_ERRORS as error:
            raise transport_error(error, self.host) from error
        response: aiohttp.ClientResponse = answer.response
        try:
            self._set_clock(response)
            if response.status >= 300:
                content = await _body(response, self.host)
                raise self._error(asked, response.status, content, response.headers.get("Retry-After"))
            yield response
        finally:
            response.close()

    def _error(self, asked: Asked, status: int, content: bytes | str, retry_after: str | None) -> ClusterError:
        error = answer_error(asked, status, content, retry_after)
        if isinstance(error, ClusterUnauthorized) and self._logged_in().anonymous:
            error.action = NO_LOGIN
        return error

    async def _prepared(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | list[tuple[str, str]] | None,
        content_type: str | None,
    ) -> tuple[str, str, dict[str, str]]:
        login = self._logged_in()
        await login.refresh()
        pairs = list(query.items()) if isinstance(query, Mapping) else list(query or ())
        prepared = await login.client.param_serialize(
            method,
            path,
            query_params=pairs,
            header_params={"Content-Type": content_type} if content_type else {},
            auth_settings=["BearerToken"],
        )
        headers = dict(prepared[2])
        headers["User-Agent"] = FIELD_MANAGER
        return prepared[0], prepared[1], headers

    def _session(self) -> aiohttp.ClientSession:
        """The client's own session: its TLS settings and connections. The client makes it at its first request."""
        rest = self._logged_in().client.rest_client
        if rest.pool_manager is None:
            rest.pool_manager = rest._create_pool_manager()
        session: aiohttp.ClientSession = rest.pool_manager
        return session

    def _set_clock(self, response: aiohttp.ClientResponse) -> None:
        try:
            date = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        ahead = date - datetime.now(UTC)
        # The header counts whole seconds: less than two of them say nothing.
        self._clock_ahead = ahead if abs(ahead) > timedelta(seconds=2) else timedelta()

    def _logged_in(self) -> Login:
        if self._login is None:
            raise RuntimeError("KubernetesApi is used outside of its `async with` block")
        return self._login


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})


async def _body(response: aiohttp.ClientResponse, host: str) -> bytes:
    try:
        return await response.read()
    except TRANSPORT_ERRORS as error:
        raise transport_error(error, host) from error

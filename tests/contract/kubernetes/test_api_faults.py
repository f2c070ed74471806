"""An API server in trouble, or none: each has its named cause, and what can be waited out is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import web

from prefect_slipway.infra.domain.errors import (
    ClusterError,
    ClusterForbidden,
    ClusterThrottled,
    ClusterUnauthorized,
    ClusterUnavailable,
    ClusterUnreachable,
    KubeconfigInvalid,
    NamespaceMissing,
    ObjectConflict,
    ObjectMissing,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import CONFIG_MAP, POD, SECRET, Object
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.access.port_forward import PortForward
from prefect_slipway.infra.kubernetes.builders.spec import PORT
from tests.kubernetes.server import KubernetesServer
from tests.ports import free_port


@pytest.fixture
def engine_socket() -> None:
    """Nothing runs behind the objects."""


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"a": "b"}}, "data": data}


def answers(code: int, message: str = "", **headers: str) -> Callable[[web.Request], web.Response]:
    status = {"kind": "Status", "code": code, "message": message, "reason": "Because"}
    return lambda request: web.json_response(status, status=code, headers=headers)


@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        (401, "Unauthorized", ClusterUnauthorized),
        (403, 'secrets is forbidden: User "u" cannot get resource "secrets"', ClusterForbidden),
        (404, 'namespaces "default" not found', NamespaceMissing),
        (409, "the object has been modified", ObjectConflict),
        (429, "too many", ClusterThrottled),
        (500, "boom", ClusterUnavailable),
        (503, "starting", ClusterUnavailable),
    ],
)
async def test_an_answer_that_is_no_success_is_a_named_cause(
    kubernetes: KubernetesServer, api: KubernetesApi, code: int, message: str, cause: type[ClusterError]
) -> None:
    kubernetes.fault = answers(code, message, **{"Retry-After": "4"})
    with pytest.raises(cause) as raised:
        await api.get(SECRET, "x")
    if cause.retryable:
        assert raised.value.retry_after == 4.0


@pytest.mark.parametrize("code", [401, 403])
async def test_who_sends_no_credentials_is_told_so(kubernetes: KubernetesServer, tmp_path: Path, code: int) -> None:
    """Whether the API server refuses him or takes him for system:anonymous: no Role would help, nor a new login. Who
    sends some is told to log in again.
    """
    said = {401: "Unauthorized", 403: 'secrets is forbidden: User "system:anonymous" cannot get resource "secrets"'}
    kubernetes.fault = answers(code, said[code])
    kubeconfig = kubernetes.kubeconfig(tmp_path)
    async with KubernetesApi(ClusterAccess(str(kubeconfig))) as api:
        with pytest.raises(ClusterUnauthorized) as raised:
            await api.get(SECRET, "x")
        assert ("log in" in raised.value.action) == (code == 401)
    kubeconfig.write_text(kubeconfig.read_text().replace("user:\n    token: a-token", "user: {}"))
    async with KubernetesApi(ClusterAccess(str(kubeconfig))) as api:
        with pytest.raises(ClusterUnauthorized, match="has no credentials"):
            await api.get(SECRET, "x")


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    server = KubernetesServer(None)
    server.port = free_port()
    async with KubernetesApi(ClusterAccess(str(server.kubeconfig(tmp_path)))) as api:
        with pytest.raises(ClusterUnreachable):
            await api.get(SECRET, "x")


async def test_a_connection_that_breaks_in_an_answer_is_unreachable(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    kubernetes.fault = cut
    with pytest.raises(ClusterUnreachable):
        await api.get(SECRET, "x")


async def test_something_that_is_no_api_server_is_named(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    kubernetes.fault = lambda request: web.Response(text="<html>hello</html>")
    with pytest.raises(ClusterError, match="default"):
        await api.get(SECRET, "x")


async def test_a_watch_goes_on_after_it_expired_or_broke(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """410 in the stream, 410 as an answer, a broken connection, 503: what was missed meanwhile is seen."""
    broken = {"n": 0}
    event = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}

    def fault(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("watch") != "true":
            return None
        broken["n"] += 1
        kubernetes.store.update(
            ("configmaps", "default", "watched"), lambda obj: obj["data"].update(n=str(broken["n"]))
        )
        if broken["n"] == 1:
            return web.Response(text=json.dumps(event) + "\n")
        if broken["n"] == 2:
            return answers(410)(request)
        if broken["n"] == 3:
            return web.Response(text='{"type": "MODIF')
        if broken["n"] == 4:
            return answers(503)(request)
        return None

    await api.create(config_map("watched", n="0"))
    kubernetes.fault = fault
    async with aclosing(api.follow(CONFIG_MAP, name="watched")) as changes:
        async for objects in changes:
            if objects["watched"]["data"]["n"] == "5":
                break
    assert broken["n"] == 5


async def test_a_server_that_stays_away_ends_a_watch(
    kubernetes: KubernetesServer, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for ever: whoever waits gets the cause."""
    monkeypatch.setattr("prefect_slipway.infra.kubernetes.access.api._FOLLOW_PAUSE_S", 0.001)
    kubernetes.fault = answers(503)
    with pytest.raises(ClusterUnavailable):
        async with aclosing(api.follow(POD)) as changes:
            await anext(changes)


async def test_objects_are_changed_only_as_they_were_seen(api: KubernetesApi) -> None:
    """A deletion or change that names a version loses against a newer one; another object of the name is safe."""
    made = await api.create(config_map("x"))
    with pytest.raises(ObjectConflict):
        await api.create(config_map("x"))
    await api.merge(CONFIG_MAP, "x", {"data": {"k": "v"}})
    with pytest.raises(ObjectConflict):
        await api.delete(made, kind=CONFIG_MAP, unchanged=True)
    with pytest.raises(ObjectConflict):
        await api.merge(CONFIG_MAP, "x", {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}})
    assert await api.delete(made, kind=CONFIG_MAP)
    assert not await api.delete(made, kind=CONFIG_MAP)
    assert await api.get(CONFIG_MAP, "x") is None
    with pytest.raises(ObjectMissing):
        await api.merge(CONFIG_MAP, "x", {})


async def test_a_port_forward_that_cannot_be_opened_says_why(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """The connection ends instead of hanging; the listener stays."""
    await api.find(POD)
    kubernetes.fault = answers(403)

    async def pod() -> str:
        return "some-pod"

    async with PortForward(api, pod, PORT) as forward:
        host, port = forward.address.removeprefix("tcp://").split(":")
        for _ in range(2):
            reader, writer = await asyncio.open_connection(host, int(port))
            assert await reader.read() == b""
            writer.close()
        assert isinstance(forward.failure, ClusterForbidden)
        assert "pods/portforward" in str(forward.failure)


@pytest.mark.parametrize("text", ["", "nonsense: [", "apiVersion: v1\nkind: Config\n", "[1, 2]"])
async def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(KubeconfigInvalid):
        async with KubernetesApi(ClusterAccess(str(path))):
            pass


async def test_a_context_that_is_not_there_is_named(kubernetes: KubernetesServer, tmp_path: Path) -> None:
    access = ClusterAccess(str(kubernetes.kubeconfig(tmp_path)), context="production")
    with pytest.raises(KubeconfigInvalid, match="production"):
        async with KubernetesApi(access):
            pass


def test_where_there_is_no_kubeconfig_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigInvalid):
        ClusterAccess.from_env({"HOME": str(tmp_path)})
    assert ClusterAccess.from_env({"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}).kubeconfig is None

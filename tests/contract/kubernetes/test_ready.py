"""Waiting for a builder's pods on an API server in this process: watched, and told at once why they cannot be ready.

The pods' statuses are what a kubelet, a scheduler or a controller writes; nothing runs behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from prefect_slipway.infra.domain.errors import (
    BuilderCrashed,
    BuilderError,
    BuilderImagePull,
    BuilderNotReady,
    BuilderOutOfMemory,
    BuilderRefused,
    BuilderUnschedulable,
    BuilderVolumeMissing,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import Object, name_of
from prefect_slipway.infra.kubernetes.builders.ready import wait_ready
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec
from tests.kubernetes.controller import Controller
from tests.kubernetes.server import KubernetesServer

NAME = "buildkitd-x"
DEPLOYMENT = ("deployments", "default", NAME)
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class Nobody(Controller):
    """A cluster whose controllers and nodes leave everything to the test."""

    async def reconcile(self) -> None:
        pass


@pytest.fixture
async def kubernetes() -> AsyncIterator[KubernetesServer]:
    async with KubernetesServer(None) as server:
        server.controller = Nobody(server.store, None)
        template = {"metadata": {"labels": {"app": NAME}}, "spec": {}}
        spec = {"replicas": 2, "template": template}
        metadata = {"name": NAME}
        server.store.create(
            DEPLOYMENT, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
        )
        yield server


def make_pod(kubernetes: KubernetesServer, name: str, status: Object) -> None:
    metadata = {"name": name, "labels": {"app": NAME}}
    kubernetes.store.create(
        ("pods", "default", name), {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
    )


def refuse(kubernetes: KubernetesServer, message: str) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    kubernetes.store.update(DEPLOYMENT, lambda obj: obj.update(status={"conditions": [failure]}))


def container(**facts: Any) -> Object:
    return {"phase": "Running", "containerStatuses": [{"name": "buildkitd", "image": "i:1", **facts}]}


async def until_watched(kubernetes: KubernetesServer) -> None:
    while kubernetes.requests.count(("GET", "/api/v1/namespaces/default/pods")) < 2:
        await asyncio.sleep(0.01)


async def test_ready_is_watched_not_polled(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """One list and one watch, however long it takes and however much happens in the meantime."""
    waiting = asyncio.create_task(wait_ready(api, NAME, BuilderSpec(replicas=2)))
    await until_watched(kubernetes)
    make_pod(kubernetes, "one", {"phase": "Pending"})
    make_pod(kubernetes, "two", READY)
    await asyncio.sleep(1.0)
    assert not waiting.done()
    kubernetes.store.update(("pods", "default", "one"), lambda pod: pod.update(status=READY))
    assert [name_of(pod) for pod in await waiting] == ["one", "two"]
    assert kubernetes.requests.count(("GET", "/api/v1/namespaces/default/pods")) == 2


@pytest.mark.parametrize(
    ("status", "cause", "told"),
    [
        (container(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}}), BuilderImagePull, "i:1"),
        (container(state={"waiting": {"reason": "CreateContainerConfigError"}}), BuilderRefused, "ConfigError"),
        (
            container(state={"terminated": {"exitCode": 1, "reason": "Error"}}),
            BuilderCrashed,
            "exit code 1 .*\nlast lines:\nsaid now",
        ),
        (
            container(
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": {"exitCode": 2, "reason": "Error"}},
                restartCount=3,
            ),
            BuilderCrashed,
            "exit code 2 .*\nlast lines:\nsaid before",
        ),
        (
            container(state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            BuilderOutOfMemory,
            "memory limit .*\nlast lines:\nsaid now",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
                ]
            },
            BuilderUnschedulable,
            "0/3 nodes",
        ),
    ],
)
async def test_what_cannot_get_ready_is_told_at_once(
    kubernetes: KubernetesServer, api: KubernetesApi, status: Object, cause: type[BuilderError], told: str
) -> None:
    """Long before `ready_s`, while it is waited for; a crash with what the container said last."""

    def logs(request: web.Request) -> web.Response | None:
        if not request.path.endswith("/log"):
            return None
        return web.Response(text="said before\n" if request.query.get("previous") else "said now\n")

    kubernetes.fault = logs
    spec = BuilderSpec(ready_s=3600.0, scheduling_patience_s=0.1)
    waiting = asyncio.create_task(wait_ready(api, NAME, spec))
    await until_watched(kubernetes)
    make_pod(kubernetes, "one", status)
    with pytest.raises(cause, match=f"(?s)pod/one.*{told}"):
        await waiting


async def test_a_daemon_whose_volume_is_still_held_is_started_again(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    """Its predecessor has not quite ended: that passes with a restart or two, and is told where it does not."""
    said = "buildkitd: could not lock /var/lib/buildkit/buildkitd.lock, another instance running?"
    kubernetes.fault = lambda request: web.Response(text=said) if request.path.endswith("/log") else None
    waiting = asyncio.create_task(wait_ready(api, NAME, BuilderSpec()))
    await until_watched(kubernetes)
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    make_pod(kubernetes, "one", container(state=ended, restartCount=0))
    make_pod(kubernetes, "two", container(state=waits, lastState=ended, restartCount=1))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    for pod in ("one", "two"):
        kubernetes.store.update(("pods", "default", pod), lambda pod: pod.update(status=READY))
    assert [name_of(pod) for pod in await waiting] == ["one", "two"]
    make_pod(kubernetes, "three", container(state=waits, lastState=ended, restartCount=3))
    kubernetes.store.update(DEPLOYMENT, lambda deployment: deployment["spec"].update(replicas=3))
    with pytest.raises(BuilderCrashed, match="another instance running"):
        await wait_ready(api, NAME, BuilderSpec())


async def test_an_end_that_was_told_already_is_waited_through(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """The kubelet starts a daemon again that was killed while it was used; another end of it is told."""
    ended = {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": "2030-01-01T00:00:00Z"}}
    make_pod(kubernetes, "one", container(state=ended))
    pod = ("pods", "default", "one")
    known = {(kubernetes.store.get(pod)["metadata"]["uid"], "2030-01-01T00:00:00Z")}
    kubernetes.store.update(DEPLOYMENT, lambda deployment: deployment["spec"].update(replicas=1))
    with pytest.raises(BuilderCrashed):
        await wait_ready(api, NAME, BuilderSpec())
    waiting = asyncio.create_task(wait_ready(api, NAME, BuilderSpec(), known=known))
    waits = container(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended, restartCount=1)
    for status in (waits, container(state={"running": {}}, lastState=ended, restartCount=2)):
        await asyncio.sleep(0.2)
        assert not waiting.done()
        kubernetes.store.update(pod, lambda pod, status=status: pod.update(status=status))  # type: ignore[misc]
    kubernetes.store.update(pod, lambda pod: pod.update(status=READY))
    assert [name_of(pod) for pod in await waiting] == ["one"]
    other = {"terminated": {**ended["terminated"], "finishedAt": "2030-01-01T00:00:09Z"}}
    kubernetes.store.update(pod, lambda pod: pod.update(status=container(state=other)))
    with pytest.raises(BuilderCrashed):
        await wait_ready(api, NAME, BuilderSpec(), known=known)


@pytest.mark.parametrize(
    ("storage_class", "told"),
    [(None, "without a StorageClass, and the cluster has no default one"), ("fast", "of the StorageClass fast")],
)
async def test_a_volume_that_does_not_come_is_told_with_its_claim(
    kubernetes: KubernetesServer, api: KubernetesApi, storage_class: str | None, told: str
) -> None:
    """No node is missing; the hint is about StorageClasses."""
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    pending = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    make_pod(kubernetes, "one", {"phase": "Pending", "conditions": [pending]})
    volumes = [{"name": "cache", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "x", "emptyDir": {}}]
    kubernetes.store.update(("pods", "default", "one"), lambda pod: pod.update(spec={"volumes": volumes}))
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}}
    spec = {"storageClassName": storage_class} if storage_class else {}
    kubernetes.store.create(
        ("persistentvolumeclaims", "default", "c"), {**claim, "spec": spec, "status": {"phase": "Pending"}}
    )
    with pytest.raises(BuilderVolumeMissing, match="pod/one waits for its volume") as raised:
        await wait_ready(api, NAME, BuilderSpec(scheduling_patience_s=0.1))
    assert f"persistentvolumeclaim/c is not bound: it is {told}" in raised.value.details
    assert "storage_class=NAME" in raised.value.action


async def test_a_container_that_was_started_again_tells_what_the_one_before_said(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    """The first restart comes at once; the new one's log is empty still, or cannot be read."""
    first = {"n": 0}

    def logs(request: web.Request) -> web.Response | None:
        if not request.path.endswith("/log"):
            return None
        if request.query.get("previous"):
            return web.Response(text="said before\n")
        first["n"] += 1
        return web.Response(text="\n") if first["n"] == 1 else web.json_response({}, status=400)

    kubernetes.fault = logs
    make_pod(kubernetes, "one", container(state={"terminated": {"exitCode": 1, "reason": "Error"}}))
    for _ in range(2):
        with pytest.raises(BuilderCrashed, match="said before"):
            await wait_ready(api, NAME, BuilderSpec())


@pytest.mark.parametrize(
    "message",
    [
        'pods "b-1" is forbidden: violates PodSecurity "baseline:latest": seccompProfile (container "buildkitd" …)',
        'pods "b-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0',
    ],
)
async def test_what_policy_or_quota_forbids_is_told_at_once(
    kubernetes: KubernetesServer, api: KubernetesApi, message: str
) -> None:
    """There is no pod that would tell it: the Deployment does."""
    waiting = asyncio.create_task(wait_ready(api, NAME, BuilderSpec(ready_s=3600.0)))
    await until_watched(kubernetes)
    refuse(kubernetes, message)
    with pytest.raises(BuilderRefused) as raised:
        await waiting
    assert raised.value.details == message


async def test_a_builder_that_was_there_does_with_the_replicas_that_live(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    """One died and cannot be replaced: the others build on. A builder that is just made has to be whole."""
    make_pod(kubernetes, "one", READY)
    refuse(kubernetes, "exceeded quota")
    spec = BuilderSpec(replicas=2)
    assert [name_of(pod) for pod in await wait_ready(api, NAME, spec, found=True)] == ["one"]
    with pytest.raises(BuilderRefused):
        await wait_ready(api, NAME, spec)
    kubernetes.store.delete(("pods", "default", "one"), foreground=False)
    with pytest.raises(BuilderRefused):
        await wait_ready(api, NAME, spec, found=True)


async def test_what_never_gets_ready_says_how_it_stands(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """When the time is over, with each pod's status."""
    with pytest.raises(BuilderNotReady, match="it has no pods"):
        await wait_ready(api, NAME, BuilderSpec(ready_s=0.5))
    make_pod(kubernetes, "one", {"phase": "Pending"})
    with pytest.raises(BuilderNotReady, match="pod/one: phase Pending"):
        await wait_ready(api, NAME, BuilderSpec(ready_s=0.5))

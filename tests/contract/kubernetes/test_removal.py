"""Removing a run's objects on an API server in this process: every kind is looked at, and trouble is outlived."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from aiohttp import web

from flows.domain.errors import (
    ClusterForbidden,
    ClusterUnavailable,
    Leftovers,
    NamespaceMissing,
    NamespaceTerminating,
    NotOurs,
)
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.apply import apply_ours
from infra.kubernetes.builder import KubernetesBuilder
from infra.kubernetes.kinds import KINDS, LEASE, Kind, Object, kind_of, name_of, shown
from infra.kubernetes.lease import timestamp
from infra.kubernetes.manifests import build_config, builder_objects, labels, registry_credentials, run_lease
from infra.kubernetes.model import BuilderSpec, Cache, Run
from infra.kubernetes.shared import share
from infra.kubernetes.sweep import remove_run, sweep
from tests.kubernetes.cluster import names_left
from tests.kubernetes.contract import OURS
from tests.kubernetes.server import KubernetesServer
from tests.unit.kubernetes.test_manifests import CERTIFICATES

SPEC = BuilderSpec()
RUN = Run("a1b2")


@pytest.fixture
def engine_socket() -> None:
    """Nothing runs behind the objects."""


def make(kubernetes: KubernetesServer, kind: Kind, *, held: bool = False) -> None:
    """An object of this kind that bears the run's label. `held`: by a finalizer."""
    metadata: Object = {"name": f"x-{kind.plural}", "labels": labels(SPEC, RUN)}
    if held:
        metadata["finalizers"] = ["example.com/held"]
    spec = {"replicas": 0, "template": {"metadata": {"labels": {}}}}
    obj = {"apiVersion": kind.api, "kind": kind.name, "metadata": metadata, "spec": spec}
    kubernetes.store.create((kind.plural, "default", metadata["name"]), obj)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_every_kind_is_verified_to_be_gone(kubernetes: KubernetesServer, api: KubernetesApi, kind: Kind) -> None:
    """One that is held is reported by name and finalizer, the others are gone; then it goes, too."""
    for each in KINDS:
        make(kubernetes, each, held=each is kind)
    with pytest.raises(Leftovers) as raised:
        await remove_run(api, RUN.id, timeout_s=1.5)
    (left,) = raised.value.details.splitlines()
    assert left.startswith(f"{shown(kind, f'x-{kind.plural}')} (finalizers: example.com/held")
    kubernetes.store.update(
        (kind.plural, "default", f"x-{kind.plural}"), lambda obj: obj["metadata"].update(finalizers=[])
    )
    await remove_run(api, RUN.id)
    assert await names_left(api, OURS) == []


def test_the_kinds_are_those_that_the_issue_names() -> None:
    """Deployments, ReplicaSets, Pods, Services, Secrets, ConfigMaps, NetworkPolicies, PVCs, Leases."""
    assert {kind.plural for kind in KINDS} == {
        *("deployments", "replicasets", "pods", "services", "secrets", "configmaps"),
        *("networkpolicies", "persistentvolumeclaims", "leases"),
    }


async def test_a_sweep_takes_every_kind_of_a_run_without_a_root(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    """Whatever somebody left by deleting the Lease alone."""
    for kind in KINDS:
        if kind is not LEASE:
            make(kubernetes, kind)
    assert len((await sweep(api)).objects) == len(KINDS) - 1
    assert await names_left(api, OURS) == []


def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def answer(code: int) -> Callable[[web.Request], web.StreamResponse]:
    return lambda request: web.json_response(
        {"kind": "Status", "code": code}, status=code, headers={"Retry-After": "0"}
    )


@pytest.mark.parametrize("trouble", [reset, answer(429), answer(503), answer(409)], ids=["reset", "429", "503", "409"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_trouble_that_passes_is_outlived(
    kubernetes: KubernetesServer,
    api: KubernetesApi,
    trouble: Callable[[web.Request], web.StreamResponse],
    method: str,
) -> None:
    """A run that ends while the API server has a bad moment leaves nothing all the same."""
    for kind in KINDS:
        make(kubernetes, kind)
    asked = itertools.count()
    kubernetes.fault = lambda request: trouble(request) if request.method == method and next(asked) < 3 else None
    await remove_run(api, RUN.id)
    assert next(asked) > 3
    assert await names_left(api, OURS) == []


@pytest.mark.parametrize(("code", "cause"), [(403, ClusterForbidden), (503, ClusterUnavailable)])
async def test_trouble_that_stays_is_raised(
    kubernetes: KubernetesServer,
    api: KubernetesApi,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    cause: type[Exception],
) -> None:
    """What waiting cannot help at once, the rest after some tries."""
    monkeypatch.setattr("infra.kubernetes.sweep._LOOK_EVERY_S", 0.001)
    make(kubernetes, LEASE)
    kubernetes.fault = answer(code)
    with pytest.raises(cause):
        await remove_run(api, RUN.id)


@pytest.mark.parametrize(
    "kind", ["Deployment", "Service", "Secret", "ConfigMap", "NetworkPolicy", "PersistentVolumeClaim"]
)
async def test_nothing_of_that_name_that_is_not_ours_is_touched(
    kubernetes: KubernetesServer, api: KubernetesApi, kind: str
) -> None:
    """Made by somebody else, or for another run: refused by name, and as it was."""
    spec = BuilderSpec(lifetime="shared", cache=Cache(persistent=True))
    objects = [
        *builder_objects(spec, RUN, CERTIFICATES, None),
        registry_credentials(spec, RUN, "{}"),
        build_config(spec, RUN, "r", "t"),
    ]
    wanted = next(obj for obj in objects if obj["kind"] == kind)
    key = (kind_of(wanted).plural, "default", name_of(wanted))
    for theirs in ({}, {"app.kubernetes.io/managed-by": "slipway", "slipway.dev/run": "other"}):
        metadata = {"name": name_of(wanted), "labels": theirs}
        spec_of_theirs = {"replicas": 0, "template": {"metadata": {"labels": {}}}}
        before = kubernetes.store.create(
            key, {"apiVersion": wanted["apiVersion"], "kind": kind, "metadata": metadata, "spec": spec_of_theirs}
        )
        with pytest.raises(NotOurs, match=f"{kind.lower()}/{name_of(wanted)}"):
            await apply_ours(api, wanted)
        assert kubernetes.store.get(key) == before
        kubernetes.store.delete(key, foreground=False)


async def test_a_shared_builders_root_that_is_not_ours_is_not_renewed(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    metadata = {"name": "buildkitd", "labels": {}}
    before = kubernetes.store.create(
        ("leases", "default", "buildkitd"),
        {"apiVersion": LEASE.api, "kind": "Lease", "metadata": metadata, "spec": {"holderIdentity": "theirs"}},
    )
    with pytest.raises(NotOurs, match="lease/buildkitd"):
        await share(api, BuilderSpec(lifetime="shared"), RUN)
    assert kubernetes.store.get(("leases", "default", "buildkitd")) == before


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        (404, {"reason": "NotFound", "message": 'namespaces "default" not found'}, NamespaceMissing),
        (
            403,
            {"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}},
            NamespaceTerminating,
        ),
    ],
)
async def test_a_namespace_that_is_absent_or_going_is_named_by_the_first_write(
    kubernetes: KubernetesServer, api: KubernetesApi, code: int, status: Object, cause: type[Exception]
) -> None:
    """Reading finds nothing in it; what it is shows when something is to be made there."""

    def fault(request: web.Request) -> web.StreamResponse | None:
        if request.method not in {"POST", "PATCH"}:
            return None
        return web.json_response({"kind": "Status", "code": code, "message": "unable to create", **status}, status=code)

    kubernetes.fault = fault
    async with KubernetesBuilder(api, SPEC, RUN, source="s") as builder:
        with pytest.raises(cause, match="namespace default"):
            await builder.provision()
    assert kubernetes.store.objects == {}


async def test_a_root_whose_answer_got_lost_is_found_again(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """The connection broke after the API server had made it: the next attempt takes it, and it goes at the end."""
    lost = run_lease(SPEC, RUN, 300, timestamp(api.now()))

    def fault(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and "/leases/" in request.path and not kubernetes.store.objects:
            kubernetes.store.create(("leases", "default", name_of(lost)), lost)
            return reset(request)
        return answer(507)(request) if "/deployments/" in request.path else None

    kubernetes.fault = fault
    async with KubernetesBuilder(api, SPEC, RUN, source="s") as builder:
        for told in ("cannot be reached", "507"):
            with pytest.raises(Exception, match=told):
                await builder.provision()
    kubernetes.fault = lambda request: None
    assert await names_left(api, OURS) == []

"""Removing a run's objects on an API server in this process: every kind is looked at, and trouble is outlived."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from aiohttp import web

from prefect_slipway.infra.domain.errors import (
    ClusterForbidden,
    ClusterUnavailable,
    Leftovers,
    NamespaceMissing,
    NamespaceTerminating,
    NotOurs,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.apply import apply_ours
from prefect_slipway.infra.kubernetes.access.kinds import KINDS, LEASE, POD, Kind, Object, kind_of, name_of, shown
from prefect_slipway.infra.kubernetes.access.lease import timestamp
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.manifests import (
    build_config,
    builder_objects,
    labels,
    owned,
    registry_credentials,
    run_lease,
)
from prefect_slipway.infra.kubernetes.builders.shared import share
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Cache, Run
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run, sweep
from tests.kubernetes.cluster import names_left
from tests.kubernetes.contract import OURS
from tests.kubernetes.rbac import Authorizer, least_role
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
    monkeypatch.setattr("prefect_slipway.infra.kubernetes.builders.sweep._LOOK_EVERY_S", 0.001)
    make(kubernetes, LEASE)
    kubernetes.fault = answer(code)
    with pytest.raises(cause):
        await remove_run(api, RUN.id)


async def built(api: KubernetesApi) -> None:
    """A run with all that belongs to it, its registry's password as well; its pod finds no image."""
    spec = BuilderSpec(image="127.0.0.1:9/no/such:1", cache=Cache(persistent=True))
    root = await api.create(run_lease(spec, RUN, 300, timestamp(api.now())))
    objects = [*builder_objects(spec, RUN, CERTIFICATES, None), registry_credentials(spec, RUN, "{}")]
    for obj in [*objects, build_config(spec, RUN, "r", "t")]:
        await api.create(owned(obj, root))
    while not await api.find(POD, OURS):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("verb", ["get", "list", "delete", "watch"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_right_that_was_lost_meanwhile_leaves_as_little_as_possible(
    kubernetes: KubernetesServer, api: KubernetesApi, kind: Kind, verb: str
) -> None:
    """The root goes first and takes the rest with it, also what may not be listed or deleted; where the root may not be
    deleted, all else is, and the root is told with the right that is missing.
    """
    await built(api)
    kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store)
    authorizer.without(kind.plural, verb)
    if (kind, verb) == (LEASE, "delete"):
        with pytest.raises(Leftovers, match=r"1 object could not be removed") as raised:
            await remove_run(api, RUN.id)
        assert "lease/slipway-a1b2" in raised.value.details
        assert "grant delete on leases" in raised.value.action and "slipway sweep" in raised.value.action
    else:
        await remove_run(api, RUN.id)
    kubernetes.fault = lambda request: None
    assert await names_left(api, OURS) == (["Lease/slipway-a1b2"] if (kind, verb) == (LEASE, "delete") else [])


async def test_what_cannot_go_at_all_is_told_and_nothing_else_stays(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    """Neither the root nor the Secrets may be deleted, and the NetworkPolicies not be looked at."""
    await built(api)
    kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store)
    authorizer.without("leases", "delete")
    authorizer.without("secrets", "delete")
    authorizer.without("networkpolicies", "list")
    with pytest.raises(Leftovers, match="3 objects could not be removed") as raised:
        await remove_run(api, RUN.id)
    told = raised.value.details
    for name in ("lease/slipway-a1b2: ", "secret/registry-creds-a1b2: ", "secret/buildkitd-a1b2-tls: "):
        assert name in told
    assert "networkpolicies could not be listed" in told and told.count("delete on secrets") == 2
    kubernetes.fault = lambda request: None
    left = await names_left(api, OURS)
    assert left == [
        "Lease/slipway-a1b2",
        "NetworkPolicy/buildkitd-a1b2",
        "Secret/buildkitd-a1b2-tls",
        "Secret/registry-creds-a1b2",
    ]


async def test_a_root_whose_dependents_stay_is_not_taken_for_their_end(
    kubernetes: KubernetesServer, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the garbage collector does not run, what may not be deleted is told."""
    await built(api)
    monkeypatch.setattr(kubernetes.store, "collect", lambda: None)
    kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store)
    authorizer.without("secrets", "delete")
    with pytest.raises(Leftovers, match=r"still exist after 1\.5 s") as raised:
        await remove_run(api, RUN.id, timeout_s=1.5)
    assert "secret/registry-creds-a1b2: " in raised.value.details


async def test_a_sweep_takes_the_objects_of_a_root_that_it_may_not_delete(
    kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    """The run is dead all the same; the root is told."""
    await built(api)
    await api.merge(LEASE, "slipway-a1b2", {"spec": {"leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00Z"}})
    kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store)
    authorizer.without("leases", "delete")
    with pytest.raises(Leftovers, match="1 object could not be removed"):
        await sweep(api)
    kubernetes.fault = lambda request: None
    assert await names_left(api, OURS) == ["Lease/slipway-a1b2"]


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
        written = request.method == "PATCH" and "/deployments/" in request.path
        return answer(507)(request) if written else None

    kubernetes.fault = fault
    async with KubernetesBuilder(api, SPEC, RUN, source="s") as builder:
        for told in ("cannot be reached", "507"):
            with pytest.raises(Exception, match=told):
                await builder.provision()
    kubernetes.fault = lambda request: None
    assert await names_left(api, OURS) == []

"""The Role that ships suffices, and grants nothing that is not needed: by an API server that grants just that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import web

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.spec import Cache
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run, sweep
from tests.kubernetes.cluster import ClusterUnderTest, build, names_left, new_run, small_context
from tests.kubernetes.contract import OURS
from tests.kubernetes.rbac import Authorizer, granted, least_role
from tests.kubernetes.release_contract import LeastRoleReleaseContract, Revoke
from tests.kubernetes.server import KubernetesServer
from tests.kubernetes.store import Key

pytestmark = pytest.mark.root

# What only an API server with OwnerReferencesPermissionEnforcement asks for; a root that is being deleted; a pod that
# went wrong.
RARE = {("leases/finalizers", "update"), ("leases", "watch"), ("pods/log", "get")}


def no_spdy(request: web.Request) -> web.Response | None:
    return web.Response(status=400) if request.headers.get("Upgrade") == "SPDY/3.1" else None


async def live(cluster: ClusterUnderTest, api: KubernetesApi, folder: Path, lifetime: Literal["run", "shared"]) -> None:
    """All that a builder can go through: made with a volume, built at, its credential rotated, removed, swept."""
    run, credentials = new_run(), cluster.credentials
    spec = cluster.spec(lifetime=lifetime, cache=Cache("2Gi", persistent=True))
    async with KubernetesBuilder(api, spec, run, source="s", reach="port-forward", lease_s=1) as builder:
        provisioned = await builder.provision()
        hosts = [cluster.registry]
        published = await builder.publish(credentials, hosts, registry=cluster.registry, repository="team")
        image = f"{cluster.registry}/team/role:{run.id}"
        assert (await build(provisioned, small_context(folder), image, published)).digest
        credentials.current = Credential("builder", "rotated")
        await published.credential(cluster.registry)
    await sweep(api)
    await remove_run(api, "shared")
    assert await names_left(api, OURS) == []


async def test_a_builders_life_needs_the_whole_role_and_nothing_beside_it(
    cluster: ClusterUnderTest,
    kubernetes: KubernetesServer,
    api: KubernetesApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of either lifetime, by either protocol of a port-forward; each right of the Role is used."""
    start = kubernetes.controller._start_pod

    async def start_late(key: Key) -> None:
        while ("deployments", "watch") not in authorizer.used:
            await asyncio.sleep(0.01)  # a pod that is ready before anybody watches leaves nothing to be watched
        await start(key)

    monkeypatch.setattr(kubernetes.controller, "_start_pod", start_late)
    used = set()
    for number, (lifetime, fault) in enumerate((("run", None), ("shared", no_spdy))):
        kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store, *([fault] if fault else []))
        await live(cluster, api, tmp_path / str(number), lifetime)  # type: ignore[arg-type]
        used |= authorizer.used
    assert {(resource, verb) for _, resource, verb in granted(least_role())} - used == RARE


class TestReleaseWithTheLeastRole(LeastRoleReleaseContract):
    @pytest.fixture
    async def cluster(self, cluster: ClusterUnderTest, kubernetes: KubernetesServer) -> ClusterUnderTest:
        kubernetes.fault = Authorizer(least_role(), kubernetes.store)
        return cluster

    @pytest.fixture
    def revoke(self, cluster: ClusterUnderTest, kubernetes: KubernetesServer) -> Revoke:
        async def revoke(resource: str, *verbs: str) -> None:
            assert isinstance(kubernetes.fault, Authorizer)
            kubernetes.fault.without(resource, *verbs)

        return revoke

"""The builder's contract on the Kubernetes in this process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from prefect_slipway.infra.domain.errors import (
    BuilderLost,
    BuilderNodeLost,
    BuilderOutOfMemory,
    BuilderUnreachable,
    StepFailed,
    StepOutOfMemory,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.spec import Resources
from tests.contract.buildkit.parts import run as run_step
from tests.contract.buildkit.self_signed import self_signed
from tests.kubernetes.cluster import ClusterUnderTest, build, buildkit, new_run, small_context
from tests.kubernetes.contract import BuilderContract
from tests.kubernetes.rbac import Authorizer, least_role
from tests.kubernetes.server import KubernetesServer

pytestmark = pytest.mark.root


class TestBuilderInProcess(BuilderContract):
    pass


@pytest.mark.parametrize(("inside", "way"), [(False, "port-forward"), (True, "service")])
async def test_the_way_to_the_builder_is_chosen_by_itself(
    cluster: ClusterUnderTest, api: KubernetesApi, inside: bool, way: str
) -> None:
    """By the Service where this process runs in a pod of the cluster, as it is told by its service account."""
    assert api._login is not None
    api._login = replace(api._login, in_cluster=inside)
    async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s") as builder:
        provisioned = await builder.provision()
        assert provisioned.reached == way
        async with buildkit(provisioned) as daemon:
            await daemon.info()


async def test_a_service_that_lets_nobody_in_is_named(
    cluster: ClusterUnderTest, kubernetes: KubernetesServer, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the label that the NetworkPolicy asks for."""
    monkeypatch.setattr("prefect_slipway.infra.kubernetes.builders.builder._SERVICE_S", 0.5)
    nobody = {"metadata": {"name": "x"}, "spec": {"clusterIP": "127.9.9.9"}}

    def fault(request: web.Request) -> web.Response | None:
        asked = request.method == "GET" and "/services/" in request.path
        return web.json_response(nobody) if asked and len(kubernetes.store.objects) > 5 else None

    async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s", reach="service") as builder:
        kubernetes.fault = fault
        with pytest.raises(BuilderUnreachable, match=r"127\.9\.9\.9") as raised:
            await builder.provision()
        kubernetes.fault = lambda request: None
    assert "slipway.dev/client=buildkitd" in str(raised.value.action)


async def test_a_dropped_port_forward_ends_one_connection_only(
    cluster: ClusterUnderTest, kubernetes: KubernetesServer, api: KubernetesApi
) -> None:
    """What ran over it is lost; the same address works for the next connection."""
    async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s", reach="port-forward") as builder:
        provisioned = await builder.provision()
        with pytest.raises(BuilderLost):
            async with buildkit(provisioned) as daemon:
                await daemon.info()
                await kubernetes.drop_forwards()
                await daemon.info()
        async with buildkit(provisioned) as daemon:
            await daemon.info()


@pytest.mark.parametrize("instead", ["nobody", "another daemon"])
async def test_a_way_that_leads_elsewhere_is_a_loss_that_a_retry_mends(
    cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path, instead: str
) -> None:
    """While a cluster's routes change, a connection may break off in its handshake, or reach what had the address
    before. The certificates are Slipway's own and were tried, so that is no question of them.
    """

    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    context = self_signed(tmp_path / "other", "127.0.0.1")[1] if instead == "another daemon" else None
    context_of_build = small_context(tmp_path)
    image = f"{cluster.registry}/team/elsewhere:1"
    async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s") as builder:
        provisioned = await builder.provision()
        async with await asyncio.start_server(break_off, "127.0.0.1", 0, ssl=context) as elsewhere:
            port = elsewhere.sockets[0].getsockname()[1]
            misled = replace(provisioned, address=f"tcp://127.0.0.1:{port}")
            with pytest.raises(BuilderLost, match=str(port)) as lost:
                await builder.guard(build(misled, context_of_build, image, cluster.credentials))
        assert lost.value.retryable
        assert provisioned.pod in (lost.value.details or "")
        again = await builder.provision()
        await builder.guard(build(again, context_of_build, image, cluster.credentials))


async def test_a_daemon_killed_at_its_memory_limit_is_named(
    cluster: ClusterUnderTest, kubernetes: KubernetesServer, api: KubernetesApi, tmp_path: Path
) -> None:
    """The container's last state is the cause, though its pod runs on: as a kernel with cgroup v2 does it."""
    run, resources = new_run(), Resources(cpu="50m", memory="64Mi", memory_limit="96Mi")
    async with KubernetesBuilder(api, cluster.spec(resources=resources), run, source="s") as builder:
        provisioned = await builder.provision()
        slow = small_context(tmp_path, run_step(f"echo {run.id}; sleep 60"))
        building = builder.guard(build(provisioned, slow, f"{cluster.registry}/team/oom:1", cluster.credentials))
        task = asyncio.create_task(building)
        await asyncio.sleep(1.0)
        await kubernetes.controller.kill(("pods", "default", provisioned.pod), "OOMKilled")
        with pytest.raises(BuilderOutOfMemory, match=r"memory limit of 96Mi \(OOMKilled\)") as killed:
            await task
        assert "last lines:\n" in killed.value.details
        assert f"pod/{provisioned.pod}: phase Running" in killed.value.details


async def test_a_step_that_is_killed_is_told_with_the_memory_limit(
    cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
) -> None:
    """As a kernel with cgroup v1 does it: the step's process alone. Without a limit it is the step's failure."""
    killed = small_context(tmp_path, run_step("sleep 60 & kill -9 $!; wait $!"))
    image = f"{cluster.registry}/team/killed:1"
    limited = cluster.spec(resources=Resources(cpu="50m", memory="64Mi", memory_limit="96Mi"))
    async with KubernetesBuilder(api, limited, new_run(), source="s") as builder:
        provisioned = await builder.provision()
        with pytest.raises(
            StepOutOfMemory, match=r"killed \(exit code 137\), most likely at the memory limit of 96Mi"
        ) as one:
            await builder.guard(build(provisioned, killed, image, cluster.credentials))
        assert provisioned.pod in one.value.cause and "memory_limit=SIZE" in one.value.action
        failed = small_context(tmp_path / "failed", run_step("exit 3"))
        with pytest.raises(StepFailed, match="failed with exit code 3"):
            await builder.guard(build(provisioned, failed, image, cluster.credentials))
    async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s") as builder:
        provisioned = await builder.provision()
        with pytest.raises(StepFailed, match="failed with exit code 137") as other:
            await builder.guard(build(provisioned, killed, image, cluster.credentials))
        assert not isinstance(other.value, StepOutOfMemory)


@pytest.mark.parametrize(("status", "told"), [(502, "does not answer"), (404, "is gone")])
async def test_a_node_that_is_gone_in_a_build_is_named_and_another_pod_is_made(
    cluster: ClusterUnderTest, kubernetes: KubernetesServer, api: KubernetesApi, tmp_path: Path, status: int, told: str
) -> None:
    """The pod still is what its kubelet said last; that does not answer any more, or the node was removed from the
    cluster, so nobody waits for the pod's end. The least Role suffices for that.
    """
    run = new_run()

    def gone(request: web.Request) -> web.Response | None:
        return web.Response(status=status) if request.path.endswith(("/log", "/portforward")) else None

    async with KubernetesBuilder(api, cluster.spec(), run, source="s", reach="port-forward") as builder:
        provisioned = await builder.provision()
        slow = small_context(tmp_path, run_step(f"echo {run.id}; sleep 60"))
        building = builder.guard(build(provisioned, slow, f"{cluster.registry}/team/node:1", cluster.credentials))
        task = asyncio.create_task(building)
        await asyncio.sleep(1.0)
        kubernetes.fault = Authorizer(least_role(), kubernetes.store, gone)
        await kubernetes.drop_forwards()
        with pytest.raises(BuilderNodeLost, match=f"{provisioned.pod} {told}") as lost:
            await task
        assert lost.value.retryable
        kubernetes.fault = lambda request: None
        assert (await builder.provision()).pod != provisioned.pod

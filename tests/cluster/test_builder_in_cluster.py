"""The builder's contract on a real cluster, and what only one can show."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pytest
import yaml

import prefect_slipway.infra.kubernetes
from prefect_slipway.infra.domain.errors import (
    BuilderOutOfMemory,
    BuilderRefused,
    BuilderVolumeMissing,
    ClusterForbidden,
    NamespaceTerminating,
    StepOutOfMemory,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.shell import run_session
from prefect_slipway.infra.kubernetes.builders.spec import Cache, Resources
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run, sweep
from tests.cluster.conftest import kubectl
from tests.cluster.roles import kubeconfig_with_role
from tests.contract.buildkit.parts import run as run_step
from tests.kubernetes.cluster import ClusterUnderTest, build, buildkit, names_left, new_run, small_context
from tests.kubernetes.contract import OURS, BuilderContract
from tests.kubernetes.script import Script
from tests.proxies import http_proxy
from tests.waiting import soon

ROLE = Path(prefect_slipway.infra.kubernetes.__file__).parent / "role.yaml"


class TestBuilderInCluster(BuilderContract):
    pass


@pytest.mark.parametrize("reach", ["service", "port-forward"])
async def test_a_privileged_builder_builds(
    cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path, reach: Literal["service", "port-forward"]
) -> None:
    """With all rights where that is asked for, by either way."""
    run = new_run()
    async with KubernetesBuilder(api, cluster.spec(privileged=True), run, source="s", reach=reach) as builder:
        provisioned = await builder.provision()
        image = f"{cluster.registry}/team/privileged:{run.id}"
        context = small_context(tmp_path, run_step(f"echo {run.id} > /id"))
        assert (await build(provisioned, context, image, cluster.credentials)).digest
    assert await names_left(api, OURS) == []


async def test_a_builder_pushes_through_its_proxy(
    cluster: ClusterUnderTest, api: KubernetesApi, host_address: str, tmp_path: Path
) -> None:
    """Not to a host that it is told to reach without."""
    with http_proxy(host_address) as proxy:
        for no_proxy, through in ((), {cluster.registry}), ((host_address,), set()):
            proxy.asked.clear()
            run = new_run()
            spec = cluster.spec(proxy=proxy.url, no_proxy=no_proxy)
            async with KubernetesBuilder(api, spec, run, source="s") as builder:
                context = small_context(tmp_path / run.id, run_step(f"echo {run.id} > /id"))
                image = f"{cluster.registry}/team/proxied:{run.id}"
                assert (await build(await builder.provision(), context, image, cluster.credentials)).digest
            assert set(proxy.asked) == through


@pytest.mark.parametrize("lifetime", ["run", "shared"])
async def test_the_least_role_suffices(
    cluster: ClusterUnderTest, namespace: str, tmp_path: Path, lifetime: str
) -> None:
    """A service account with the Role that ships, and nothing else, goes through a builder's whole life."""
    access = ClusterAccess(str(kubeconfig_with_role(namespace, tmp_path, ROLE)), namespace=namespace)
    run = new_run()
    async with KubernetesApi(access) as api:
        spec = cluster.spec(lifetime=lifetime)
        async with KubernetesBuilder(api, spec, run, source="s", reach="port-forward") as builder:
            provisioned = await builder.provision()
            credentials = await builder.publish(cluster.credentials, [cluster.registry], registry="r", repository="t")
            image = f"{cluster.registry}/team/role:{run.id}"
            context = small_context(tmp_path, run_step(f"echo {run.id} > /id"))
            assert (await build(provisioned, context, image, credentials)).digest
        await sweep(api)
        await remove_run(api, "shared")
        assert await names_left(api, OURS) == []


@pytest.mark.parametrize(("privileged", "told"), [(False, "seccompProfile"), (True, "privileged")])
async def test_what_pod_security_forbids_is_told_at_once(
    cluster: ClusterUnderTest, api: KubernetesApi, namespace: str, privileged: bool, told: str
) -> None:
    """Where the level `baseline` is enforced: the policy and what offends it, and nothing is left."""
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline")
    async with KubernetesBuilder(api, cluster.spec(privileged=privileged), new_run(), source="s") as builder:
        with pytest.raises(BuilderRefused, match=f"(?s)violates PodSecurity.*{told}"):
            await builder.provision()
    assert await names_left(api, OURS) == []


async def test_what_a_role_lacks_is_named(
    cluster: ClusterUnderTest, api: KubernetesApi, namespace: str, tmp_path: Path
) -> None:
    """Verb and resource, as a Role writes them; nothing was made."""
    role = next(yaml.safe_load_all(ROLE.read_text()))
    role["rules"] = [rule for rule in role["rules"] if "deployments" not in rule["resources"]]
    less = tmp_path / "role.yaml"
    less.write_text(yaml.safe_dump(role))
    async with KubernetesApi(ClusterAccess(str(kubeconfig_with_role(namespace, tmp_path, less)))) as limited:
        builder = KubernetesBuilder(limited, cluster.spec(), new_run(), source="s")
        with pytest.raises(ClusterForbidden, match=r"missing in .*: create, delete, get, list, patch, watch on deploy"):
            await builder.provision()
    assert await names_left(api, OURS) == []


async def test_out_of_memory_is_named(cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path) -> None:
    """A step that takes more than the pod may have ends the daemon; that is the cause, within seconds."""
    resources = Resources(cpu="50m", memory="32Mi", memory_limit="64Mi")
    async with KubernetesBuilder(api, cluster.spec(resources=resources), new_run(), source="s") as builder:
        provisioned = await builder.provision()
        # Files in memory stay when the process that wrote them is killed, so the daemon's turn comes as well.
        greedy = small_context(
            tmp_path, run_step("for f in a b c; do dd if=/dev/zero of=/dev/shm/$f bs=1M; done; sleep 60")
        )
        with pytest.raises(BuilderOutOfMemory):
            await builder.guard(build(provisioned, greedy, f"{cluster.registry}/team/oom:1", cluster.credentials))


async def test_a_step_killed_at_the_memory_limit_is_told_with_it(
    cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
) -> None:
    """Which of the two it is, is the kernel's: with cgroup v1 it kills the step, with v2 all of the container."""
    resources = Resources(cpu="50m", memory="32Mi", memory_limit="96Mi")
    async with KubernetesBuilder(api, cluster.spec(resources=resources), new_run(), source="s") as builder:
        provisioned = await builder.provision()
        greedy = small_context(tmp_path, run_step("tail /dev/zero"))
        with pytest.raises((StepOutOfMemory, BuilderOutOfMemory), match="memory limit of 96Mi") as killed:
            await builder.guard(build(provisioned, greedy, f"{cluster.registry}/team/oom:1", cluster.credentials))
        print(killed.value)


async def test_a_volume_of_no_storage_class_is_told_as_such(cluster: ClusterUnderTest, api: KubernetesApi) -> None:
    """There is none of that name: no node is missing."""
    cache = Cache(size="1Gi", persistent=True, storage_class="nosuch")
    async with KubernetesBuilder(api, cluster.spec(cache=cache), new_run(), source="s") as builder:
        with pytest.raises(BuilderVolumeMissing, match="waits for its volume") as raised:
            await builder.provision()
    assert "of the StorageClass nosuch" in raised.value.details
    assert await names_left(api, OURS) == []


async def test_a_shell_has_what_the_lab_has(cluster: ClusterUnderTest, api: KubernetesApi) -> None:
    """buildctl reaches the builder; the credentials are docker's config.json; REGISTRY and REPOSITORY are set."""
    spec = cluster.spec(lifetime="shared")
    async with KubernetesBuilder(api, spec, new_run(), source="s", session=True) as builder:
        await builder.provision()
        await builder.publish(cluster.credentials, [cluster.registry], registry="reg.example", repository="team")
        pod = await builder.open_cli()
        assert pod == "buildkit-cli"
        terminal = Script("env; cat /root/.docker/config.json; buildctl debug workers; exit 7")
        assert await soon(run_session(api, pod, ["sh", "-i"], terminal)) == 7
        seen = terminal.seen.decode()
        assert "REGISTRY=reg.example" in seen
        assert "REPOSITORY=team" in seen
        assert cluster.registry in seen
        assert "linux/amd64" in seen or "linux/arm64" in seen
        await builder.close()
        left = await names_left(api, OURS)
        assert "Deployment/buildkitd" in left
        assert not {"Pod/buildkit-cli", "Secret/registry-creds"} & set(left), "nobody reads the password any more"
    await remove_run(api, "shared")
    assert await names_left(api, OURS) == []


async def test_a_terminating_namespace_is_named(cluster: ClusterUnderTest, namespace: str) -> None:
    """Nothing can be made in it any more."""
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/held"]}}
    kubectl("-n", namespace, "create", "--validate=false", "-f", "-", stdin=yaml.safe_dump(held))
    kubectl("delete", "namespace", namespace, "--wait=false")
    try:
        async with KubernetesApi(cluster.access) as api:
            builder = KubernetesBuilder(api, cluster.spec(), new_run(), source="s")
            with pytest.raises(NamespaceTerminating):
                await builder.provision()
    finally:
        kubectl("-n", namespace, "patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')


@pytest.mark.parametrize("reach", ["service", "port-forward"])
async def test_a_ready_builder_answers_at_once(
    cluster: ClusterUnderTest, api: KubernetesApi, reach: Literal["service", "port-forward"]
) -> None:
    """`provision` gives an address that answers: the first call needs no second try."""
    async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s", reach=reach) as builder:
        provisioned = await builder.provision()
        began = time.monotonic()
        async with buildkit(provisioned) as daemon:
            await daemon.info()
        print(f"{reach}: first answer after {time.monotonic() - began:.3f} s")

"""`slipway shell`: its pod's manifest, a session in it, and the command, on the Kubernetes in this process."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import LEASE, POD
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.shell import cli_pod, run_session
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec
from prefect_slipway.infra.kubernetes.builders.sweep import sweep
from tests.conftest import SLIPWAY, RunningStack, run_program
from tests.kubernetes.cluster import ClusterUnderTest, names_left, new_run
from tests.kubernetes.contract import OURS
from tests.kubernetes.release_contract import ReleaseParts
from tests.kubernetes.script import Script
from tests.unit.kubernetes.test_manifests import RUN, baseline_violations
from tests.waiting import PATIENCE_S, soon

PAST = "2020-01-01T00:00:00.000000Z"


def test_the_pod_is_the_labs() -> None:
    """Its name, the Secret at /root/.docker/config.json, the ConfigMap as environment; labelled as the rest is, let in
    by the NetworkPolicy, without a token of the API, and within Pod Security's level baseline.
    """
    pod = cli_pod(BuilderSpec(lifetime="shared"), RUN)
    assert pod["metadata"]["name"] == "buildkit-cli"
    assert pod["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "slipway",
        "slipway.dev/run": "shared",
        "slipway.dev/builder": "buildkitd",
        "slipway.dev/client": "buildkitd",
        "slipway.dev/shell": "buildkit-cli",
        "team": "web",
    }
    (container,) = pod["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "build-config"}}]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes: dict[str, Any] = {volume["name"]: volume["secret"] for volume in pod["spec"]["volumes"]}
    credentials = volumes[mounts["/root/.docker"]]
    assert credentials["secretName"] == "registry-creds"
    assert credentials["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert baseline_violations(pod) == set()


@pytest.fixture
def spec(cluster: ClusterUnderTest) -> BuilderSpec:
    return cluster.spec(lifetime="shared", idle_s=600)


async def opened(cluster: ClusterUnderTest, builder: KubernetesBuilder) -> str:
    """The pod, with a session that could begin."""
    await builder.provision()
    await builder.publish(cluster.credentials, [cluster.registry], registry="reg.example", repository="team")
    return await builder.open_cli()


@pytest.mark.root
async def test_a_session_has_the_environment_and_the_pod_goes_with_it(
    cluster: ClusterUnderTest, api: KubernetesApi, spec: BuilderSpec
) -> None:
    """What is typed arrives, the exit code comes back. Afterwards nobody can read the password: neither in the Secret
    nor in the pod that had it mounted; the builder stays, and a second shell makes a pod of its own.
    """
    uids = set()
    for _ in range(2):
        async with KubernetesBuilder(api, spec, new_run(), source="s", session=True) as builder:
            pod = await opened(cluster, builder)
            made = await api.get(POD, pod)
            root = await api.get(LEASE, "buildkitd")
            assert made is not None and root is not None
            assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [root["metadata"]["uid"]]
            uids.add(made["metadata"]["uid"])
            terminal = Script('echo "$REGISTRY/$REPOSITORY at $BUILDKIT_HOST"; exit 7')
            assert await soon(run_session(api, pod, ["sh"], terminal)) == 7
            assert b"reg.example/team at tcp://buildkitd:1234" in terminal.seen
            assert {"pod/buildkit-cli", "secret/registry-creds"} <= set(await builder.close())
        left = await names_left(api, OURS)
        assert not {"Pod/buildkit-cli", "Secret/registry-creds"} & set(left)
        assert "Deployment/buildkitd" in left
    assert len(uids) == 2


@pytest.mark.root
async def test_the_pod_stays_for_another_session(
    cluster: ClusterUnderTest, api: KubernetesApi, spec: BuilderSpec
) -> None:
    """Who leaves first takes it from nobody; a release that goes on does not keep it."""
    release = KubernetesBuilder(api, spec, new_run(), source="s")
    await release.provision()
    first, second = (KubernetesBuilder(api, spec, new_run(), source="s", session=True) for _ in range(2))
    assert await opened(cluster, first) == await opened(cluster, second)
    await first.close()
    assert "Pod/buildkit-cli" in await names_left(api, OURS)
    await second.close()
    assert "Pod/buildkit-cli" not in await names_left(api, OURS)
    await release.close()


@pytest.mark.root
async def test_the_sweep_takes_what_a_killed_session_left(
    cluster: ClusterUnderTest, api: KubernetesApi, spec: BuilderSpec
) -> None:
    """The pod and the Secret with the password, long before the builder's idle time is over; not while it lives."""
    builder = KubernetesBuilder(api, spec, new_run(), source="s", session=True)
    await opened(cluster, builder)
    await sweep(api)
    assert {"Pod/buildkit-cli", "Secret/registry-creds"} <= set(await names_left(api, OURS))
    (lease,) = await api.find(LEASE, "slipway.dev/shell=buildkit-cli")
    await api.merge(LEASE, lease["metadata"]["name"], {"spec": {"leaseDurationSeconds": 1, "renewTime": PAST}})
    await sweep(api)
    left = await names_left(api, OURS)
    assert not {"Pod/buildkit-cli", "Secret/registry-creds"} & set(left)
    assert {"Deployment/buildkitd", "Lease/buildkitd"} <= set(left)
    await builder.close()


@pytest.mark.root
class TestCommand:
    environment = ReleaseParts.environment

    async def test_it_gives_the_shells_exit_code_and_leaves_the_shared_builder_alone(
        self,
        stack: RunningStack,
        environment: dict[str, str],
        cluster: ClusterUnderTest,
        api: KubernetesApi,
        tmp_path: Path,
    ) -> None:
        """On a terminal; without one it is a usage error. What is its own is gone afterwards."""
        command: list[str | Path] = [SLIPWAY, "shell", tmp_path, "--image", f"{cluster.registry}/team/app"]
        command += ["--credentials", "vault:secret/cluster/registry"]
        env = {**stack.env, **environment}
        refused = await asyncio.to_thread(run_program, *command, env=env)
        assert refused.returncode == 2
        assert "a shell needs a terminal" in refused.stderr
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
        try:
            seen = b""
            while not seen.endswith((b"# ", b"$ ")):  # what was typed before would be thrown away
                seen += await soon(asyncio.to_thread(os.read, ours, 1 << 12))
            os.write(ours, b"exit $(( ${#REPOSITORY} + 3 ))\n")
            _, errors = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
            assert process.returncode == len("team") + 3, errors
        finally:
            process.kill()
            process.communicate()
            os.close(theirs)
            os.close(ours)
        assert await names_left(api, "slipway.dev/uses=buildkitd") == []
        left = await names_left(api, OURS)
        assert {"Deployment/buildkitd", "Lease/buildkitd"} <= set(left)
        assert not {"Pod/buildkit-cli", "Secret/registry-creds"} & set(left)

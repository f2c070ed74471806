"""A whole release on the Kubernetes in this process: what a real cluster cannot be made to do.

The contract runs with the least Role in test_least_role.py, and with all rights on a real cluster.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import CONFIG_MAP, POD, name_of
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, SLIPWAY
from prefect_slipway.infra.kubernetes.builders.sweep import everything
from prefect_slipway.infra.registry.client import RegistryClient
from tests.contract.buildkit.parts import busybox_context
from tests.kubernetes.cluster import ClusterUnderTest
from tests.kubernetes.release_contract import Command, ReleaseParts, pod_at_work, slow_dockerfile
from tests.kubernetes.server import KubernetesServer
from tests.releases import registry_tags, result_of
from tests.warm import WarmStarter

pytestmark = pytest.mark.root


class TestReleaseInProcess(ReleaseParts):
    async def test_a_dropped_port_forward_is_survived(
        self, command: Command, options: list[str], kubernetes: KubernetesServer, api: KubernetesApi, tmp_path: Path
    ) -> None:
        """In the middle of the build: the step builds again at the same pod, through another one."""
        source = busybox_context(tmp_path / "app", slow_dockerfile(seconds=6))
        releasing = asyncio.create_task(command("release", source, *options, "--network", "none"))
        pod = await pod_at_work(api, releasing)
        await kubernetes.drop_forwards()
        pods = set()
        while not releasing.done():
            pods |= {name_of(each) for each in await api.find(POD)}
            await asyncio.sleep(0.1)
        released = await releasing
        assert released.returncode == 0, released.stderr
        assert json.loads(released.stdout)["released"]
        assert pods == {name_of(pod)}
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    async def test_each_architecture_has_a_builder_of_its_own(
        self, command: Command, options: list[str], cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
    ) -> None:
        """On its nodes, for as long as the release lasts; their results are one image. A platform of another
        architecture is refused, and either leaves nothing."""
        source = busybox_context(tmp_path / "app", "FROM scratch\nCOPY busybox /busybox\n")
        options += ["--builder-option", "architectures=amd64,arm64"]
        wanted = "linux/amd64,linux/arm64"
        refused = await command("release", source, *options, "--platform", f"{wanted},linux/s390x")
        assert refused.returncode == 1
        assert "no node of the builder runs linux/s390x natively" in refused.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

        done = await command("release", source, *options, "--platform", wanted)
        assert done.returncode == 0, done.stderr
        for architecture in ("amd64", "arm64"):
            assert f"linux/{architecture} #" in done.stderr
        result = json.loads(done.stdout)
        async with RegistryClient(cluster.registry, cluster.credentials, insecure=True, ca_file=None) as registry:
            index = await registry.manifest("team/app", result["digest"])
        assert [child.platform for child in index.children if child.is_image] == ["linux/amd64", "linux/arm64"]
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    async def test_shared_builders_of_several_architectures_stay(
        self, command: Command, options: list[str], api: KubernetesApi, tmp_path: Path
    ) -> None:
        """Each is found by the next release; what belongs to the runs goes with them."""
        source = busybox_context(tmp_path / "app", "FROM scratch\nCOPY busybox /busybox\n")
        for option in ("lifetime=shared", "architectures=amd64,arm64"):
            options += ["--builder-option", option]
        pods = []
        for version in ("1.0.0", "1.1.0"):
            done = await command(
                "release", source, *options, "--version", version, "--platform=linux/amd64,linux/arm64"
            )
            assert done.returncode == 0, done.stderr
            pods.append({name_of(pod) for pod in await api.find(POD)})
        assert len(pods[0]) == 2 and pods[0] == pods[1]
        left = {(kind.name, name_of(obj)) for kind, obj in await everything(api, f"{MANAGED_BY}={SLIPWAY}")}
        builders = {"buildkitd-amd64", "buildkitd-arm64"}
        assert {name for kind, name in left if kind in {"Deployment", "Lease"}} == builders
        assert {name for kind, name in left if kind == "Secret"} == {
            f"{each}-{end}" for each in builders for end in ("tls", "client")
        }

    async def test_a_kill_while_the_builder_is_removed_makes_no_other_version(
        self,
        commands: WarmStarter,
        environment: dict[str, str],
        options: list[str],
        cluster: ClusterUnderTest,
        api: KubernetesApi,
        tmp_path: Path,
    ) -> None:
        """The reservation ends last: whatever is left of the builder, the same command finishes the same version."""
        name = f"killed-{tmp_path.name[-8:]}"
        source = busybox_context(tmp_path / name, slow_dockerfile(seconds=6))
        arguments: list[str | Path] = ["release", source, *options, "--network", "none"]
        arguments += ["--image", f"{cluster.registry}/{name}"]
        release = commands.start(*arguments, env=environment)
        ending = asyncio.create_task(asyncio.to_thread(release.end))
        await pod_at_work(api, ending)
        (config,) = (obj for obj in await api.find(CONFIG_MAP) if name_of(obj).startswith("build-config"))
        await api.merge(CONFIG_MAP, name_of(config), {"metadata": {"finalizers": ["example.com/held"]}})
        await asyncio.to_thread(release.until, "> clean up")
        while (held := await api.get(CONFIG_MAP, name_of(config))) and not held["metadata"].get("deletionTimestamp"):
            await asyncio.sleep(0.05)
        assert held
        release.kill()
        assert (await ending).code == -9
        login = cluster.credential.username, cluster.credential.password
        released, cache, marker = registry_tags(cluster.registry, name, login)
        assert (released, cache) == ("0.1.0", "buildcache") and marker.startswith("slipway-reservation-")
        await api.merge(CONFIG_MAP, name_of(config), {"metadata": {"finalizers": []}})
        again = await asyncio.to_thread(commands.run, *arguments, env=environment)
        assert result_of(again)["version"] == "0.1.0"
        assert registry_tags(cluster.registry, name, login) == ["0.1.0", "buildcache"]

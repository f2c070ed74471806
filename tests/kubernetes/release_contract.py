"""What a release with its builder in Kubernetes promises, on any cluster, through the command line."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import CONFIG_MAP, POD, Object, name_of
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, SLIPWAY
from prefect_slipway.infra.kubernetes.access.pods import is_ready
from prefect_slipway.infra.kubernetes.builders.sweep import everything
from tests.conftest import Run, RunningStack
from tests.contract.buildkit.parts import busybox_context
from tests.contract.buildkit.parts import run as run_step
from tests.kubernetes.cluster import ClusterUnderTest
from tests.releases import Traces, registry_tags
from tests.servers import vault_server
from tests.warm import WarmStarter

SECRET = "secret/cluster/registry"
TOKEN = f"token-{uuid.uuid4().hex}"
# Two platforms by a step on the builder's own, which shows a secret; nobody has built it before (`UNIQUE`).
TWO_PLATFORMS = """\
FROM --platform=$BUILDPLATFORM scratch AS made
COPY busybox /bin/busybox
RUN --mount=type=secret,id=npm,required=true ["/bin/busybox", "sh", "-c", "cat /run/secrets/npm; echo UNIQUE > /made"]
FROM scratch
ARG TARGETARCH
COPY --from=made /made /made-for-$TARGETARCH
"""
Command = Callable[..., Coroutine[Any, Any, subprocess.CompletedProcess[str]]]
Revoke = Callable[..., Awaitable[None]]


class ReleaseParts:
    """What releases to the cluster of the fixture `cluster` need."""

    @pytest.fixture
    def environment(self, stack: RunningStack, cluster: ClusterUnderTest, tmp_path: Path) -> Iterator[dict[str, str]]:
        """The cluster's kubeconfig and a Vault of its own that holds the registry's credential."""
        with vault_server(tmp_path / "vault") as vault:
            credential = cluster.credential
            vault.put(SECRET, {"username": credential.username, "password": credential.password})
            vault.put("secret/cluster/npm", {"token": TOKEN})
            yield {
                "KUBECONFIG": cluster.access.kubeconfig or "",
                "VAULT_ADDR": vault.address,
                "VAULT_TOKEN": str(vault.token(policies=["root"], ttl="10m")["client_token"]),
                "PREFECT_API_URL": stack.connection.prefect_api_url,
            }

    @pytest.fixture
    def command(self, slipway: Run, environment: dict[str, str], namespaced: list[str]) -> Command:
        """`slipway` in that environment."""
        return lambda *arguments: asyncio.to_thread(slipway, *arguments, *namespaced, env=environment)

    @pytest.fixture
    def namespaced(self, cluster: ClusterUnderTest) -> list[str]:
        return ["--namespace", cluster.access.namespace] if cluster.access.namespace else []

    @pytest.fixture
    def builder_options(self) -> list[str]:
        return [
            *("--builder", "kubernetes", "--insecure-registry", "--credentials", f"vault:{SECRET}"),
            *("--run-label", "team=tests", "--format", "json"),
            *("--builder-option", "cpu=50m", "--builder-option", "memory=64Mi", "--builder-option", "cache_size=2Gi"),
        ]

    @pytest.fixture
    def options(self, builder_options: list[str], cluster: ClusterUnderTest) -> list[str]:
        return [*builder_options, "--image", f"{cluster.registry}/team/app"]


class ReleaseContract(ReleaseParts):
    """Collected by a subclass beside the `cluster` fixture it is to run on."""

    async def test_a_release_leaves_an_image_and_nothing_else(
        self, command: Command, options: list[str], cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
    ) -> None:
        """Built, pushed with Vault's credential, tagged; no object is left, and none made when nothing is new. The
        builder was new and is gone, so its cache is in the registry."""
        source = busybox_context(tmp_path / "app", "FROM scratch\nCOPY busybox /busybox\n")
        first = await command("release", source, *options)
        assert first.returncode == 0, first.stderr
        result = json.loads(first.stdout)
        assert result["released"] and result["reference"].startswith(f"{cluster.registry}/team/app:")
        assert [cache["exported"] for cache in result["caches"]] == [f"{cluster.registry}/team/app:buildcache"]
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []
        again = await command("release", source, *options, "--only-new")
        assert not json.loads(again.stdout)["released"], again.stderr
        assert "provision builder" not in again.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    async def test_a_secret_a_cache_and_two_platforms(
        self, command: Command, options: list[str], cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
    ) -> None:
        """The step has the secret from Vault, and nobody else; the image is for both platforms, with provenance; the
        next builder, which is new as well, takes every step from the registry."""
        source = busybox_context(tmp_path / "app", TWO_PLATFORMS.replace("UNIQUE", uuid.uuid4().hex))
        asked = (
            *options, "--secret", "id=npm,vault=secret/cluster/npm#token", "--emulate", "--network", "none",
            "--platform", "linux/amd64", "--platform", "linux/arm64",
        )  # fmt: skip
        first = await command("release", source, *asked)
        assert first.returncode == 0, first.stderr
        result = json.loads(first.stdout)
        assert sorted(result["platforms"]) == ["linux/amd64", "linux/arm64"]
        (cache,) = result["caches"]
        assert cache["exported"] == f"{cluster.registry}/team/app:buildcache" and cache["warning"] == ""
        assert "***" in first.stderr
        assert TOKEN not in first.stderr + first.stdout
        second = await command("release", source, *asked, "--again")
        assert second.returncode == 0, second.stderr
        result = json.loads(second.stdout)
        assert result["caches"][0]["imported"] == [cache["exported"]]
        assert result["cached_steps"] == result["steps"] > 0, second.stderr
        assert TOKEN not in second.stderr + second.stdout
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    async def test_a_failed_build_leaves_nothing_either(
        self, command: Command, options: list[str], api: KubernetesApi, tmp_path: Path
    ) -> None:
        """The cause is the Dockerfile's, and the cluster is as before."""
        source = busybox_context(tmp_path / "app", "FROM scratch\nCOPY absent /\n")
        failed = await command("release", source, *options)
        assert failed.returncode == 1
        assert "absent" in failed.stderr and "Traceback" not in failed.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    async def test_an_unknown_option_is_a_usage_error(
        self, command: Command, options: list[str], api: KubernetesApi, tmp_path: Path
    ) -> None:
        """It is said before anything is made."""
        source = busybox_context(tmp_path / "app", "FROM scratch\nCOPY busybox /busybox\n")
        refused = await command("release", source, *options, "--builder-option", "colour=red")
        assert refused.returncode == 2
        assert "colour" in refused.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    async def test_a_set_is_built_by_one_builder(
        self,
        command: Command,
        builder_options: list[str],
        cluster: ClusterUnderTest,
        api: KubernetesApi,
        tmp_path: Path,
    ) -> None:
        """An image and two that are based on it, pushed with Vault's credential; a set that fails is as if never begun,
        and either leaves nothing in the cluster."""
        place = f"team/{uuid.uuid4().hex[:8]}"
        source = busybox_context(tmp_path / "set", "FROM scratch\nCOPY busybox /busybox\n")
        (source / "docker-bake.json").write_text(json.dumps(_set_of("web", "api")))
        for heir in ("web", "api"):
            (source / heir).write_text(f"FROM base\nCOPY {heir} /\n")
        options = [*builder_options, "--source", str(source), "--repository", f"{cluster.registry}/{place}"]
        (source / "api").write_text("FROM base\nCOPY absent /\n")
        failed = await command("bake", *options)
        assert failed.returncode == 1 and "absent" in failed.stderr, failed.stderr
        assert self.tags(cluster, place) == {"base": [], "web": [], "api": []}
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

        (source / "api").write_text("FROM base\nCOPY api /\n")
        done = await command("bake", *options)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("> provision builder") == 1
        assert self.tags(cluster, place) == {name: ["0.1.0", "buildcache"] for name in ("base", "web", "api")}
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    @staticmethod
    def tags(cluster: ClusterUnderTest, place: str) -> dict[str, list[str]]:
        login = cluster.credential.username, cluster.credential.password
        return {name: registry_tags(cluster.registry, f"{place}/{name}", login) for name in ("base", "web", "api")}

    @pytest.mark.parametrize("how", ["deleted", "killed"])
    async def test_a_builder_that_is_lost_in_the_build_is_made_anew(
        self,
        command: Command,
        options: list[str],
        cluster: ClusterUnderTest,
        api: KubernetesApi,
        tmp_path: Path,
        how: str,
    ) -> None:
        """The release says on the terminal what happened to it and that it tries again, goes on, and leaves nothing."""
        source = busybox_context(tmp_path / "app", slow_dockerfile(seconds=8))
        releasing = asyncio.create_task(command("release", source, *options, "--network", "none"))
        pod = await pod_at_work(api, releasing)
        if how == "killed":
            await cluster.kill(name_of(pod))
        else:
            await api.delete(pod, kind=POD, grace_s=0)
        released = await releasing
        assert released.returncode == 0, released.stderr
        assert json.loads(released.stdout)["released"]
        told = [line for line in released.stderr.splitlines() if "; trying again in " in line]
        assert len(told) == 1 and f"pod/{name_of(pod)}" in told[0], released.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
    async def test_an_interrupted_release_leaves_nothing(
        self,
        commands: WarmStarter,
        environment: dict[str, str],
        namespaced: list[str],
        options: list[str],
        api: KubernetesApi,
        tmp_path: Path,
        number: signal.Signals,
    ) -> None:
        """In the middle of its build: it ends in order, and the cluster is as before."""
        source = busybox_context(tmp_path / "app", slow_dockerfile(seconds=60))
        release = commands.start("release", source, *options, *namespaced, "--network", "none", env=environment)
        ending = asyncio.create_task(asyncio.to_thread(release.end))
        await pod_at_work(api, ending)
        release.signal(number)
        ended = await ending
        assert ended.code == 130, ended.stderr
        assert "Traceback" not in ended.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []


class LeastRoleReleaseContract(ReleaseContract):
    """By an account that has the Role that ships, and nothing else. Fixture: `revoke`, takes verbs on a resource away
    from it.
    """

    @pytest.mark.parametrize("verb", ["plan", "release"])
    async def test_a_missing_right_is_named_before_anything_is_written(
        self,
        command: Command,
        options: list[str],
        revoke: Revoke,
        api: KubernetesApi,
        tmp_path: Path,
        verb: str,
    ) -> None:
        """By the plan as well; all that is missing at once."""
        source = busybox_context(tmp_path / "app", "FROM scratch\nCOPY busybox /busybox\n")
        await revoke("leases", "delete")
        await revoke("networkpolicies", "delete", "patch")
        refused = await command(verb, source, *options)
        assert refused.returncode == 1, refused.stdout
        told = "delete on leases.coordination.k8s.io; delete, patch on networkpolicies.networking.k8s.io"
        assert told in refused.stderr and "infra/kubernetes/role.yaml" in refused.stderr, refused.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    @pytest.mark.parametrize("built", [True, False], ids=["released", "failed"])
    async def test_a_clean_up_that_fails_is_no_silent_success(
        self,
        command: Command,
        options: list[str],
        revoke: Revoke,
        api: KubernetesApi,
        traces: Traces,
        tmp_path: Path,
        built: bool,
    ) -> None:
        """Rights are taken away in the middle of the build: the image is public, or the failure told, and so is what
        was left, by the terminal, the exit code, JSON, the report and the run's state; all else is gone.
        """
        name = f"left-{uuid.uuid4().hex[:8]}"
        steps = slow_dockerfile(seconds=10) + ("" if built else run_step("exit 5"))
        source = busybox_context(tmp_path / name, steps)
        options = [*options[:-1], f"{options[-1]}/{name}"]
        releasing = asyncio.create_task(command("release", source, *options, "--network", "none"))
        await pod_at_work(api, releasing)
        await revoke("leases", "delete")
        await revoke("secrets", "delete")
        ended = await releasing
        left = {f"{kind.name.lower()}/{name_of(obj)}" for kind, obj in await everything(api, f"{MANAGED_BY}={SLIPWAY}")}
        assert {each.partition("/")[0] for each in left} == {"lease", "secret"}
        assert len(left) == 3
        assert "3 objects could not be removed" in ended.stderr, ended.stderr
        assert all(each in ended.stderr for each in left) and "grant delete on secrets" in ended.stderr
        state = traces.state(name)
        assert "3 objects could not be removed" in state["message"]
        report = traces.reports(name)[0]
        assert "## Left behind" in report and all(each in report for each in left)
        if built:
            assert ended.returncode == 3, ended.stderr
            result = json.loads(ended.stdout)
            assert result["released"] and len(result["left_behind"][0]["details"]) == 3
            assert (state["type"], state["name"]) == ("COMPLETED", "NotCleanedUp")
        else:
            assert ended.returncode == 1
            assert "exit code 5" in ended.stderr.rpartition("slipway: ")[2]
            assert (state["type"], state["name"]) == ("FAILED", "Failed")


def _set_of(*heirs: str) -> dict[str, Any]:
    """A bake file: `base`, and images that are based on it."""
    based = {heir: {"dockerfile": heir, "contexts": {"base": "target:base"}} for heir in heirs}
    return {"group": {"default": {"targets": ["base", *heirs]}}, "target": {"base": {}, **based}}


def slow_dockerfile(*, seconds: int) -> str:
    """One whose build takes so long, and that no cache holds."""
    return f"FROM scratch\nCOPY busybox /bin/busybox\n{run_step(f'echo {uuid.uuid4().hex}; sleep {seconds}')}"


async def pod_at_work(api: KubernetesApi, command: asyncio.Future[Any]) -> Object:
    """The builder's pod, as soon as the release that runs builds at it."""
    ours = f"{MANAGED_BY}={SLIPWAY},team=tests"
    ready: list[Object] = []
    while not ready or not any(name_of(obj).startswith("build-config") for obj in await api.find(CONFIG_MAP, ours)):
        ready = [pod for pod in await api.find(POD, ours) if is_ready(pod)]
        assert not command.done(), command.result()
        await asyncio.sleep(0.2)
    await asyncio.sleep(2.5)  # the build begins as soon as the credentials are published
    assert not command.done(), command.result()
    return ready[0]

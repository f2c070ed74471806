"""What a release with its builder in Kubernetes promises, on any cluster, through the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.model import MANAGED_BY, SLIPWAY
from infra.kubernetes.sweep import everything
from tests.conftest import Run, RunningStack
from tests.contract.buildkit.parts import busybox_context
from tests.kubernetes.cluster import ClusterUnderTest
from tests.releases import registry_tags
from tests.servers import vault_server

SECRET = "secret/cluster/registry"
Command = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


class ReleaseContract:
    """Collected by a subclass beside the `cluster` fixture it is to run on."""

    @pytest.fixture
    async def command(
        self, slipway: Run, stack: RunningStack, cluster: ClusterUnderTest, tmp_path: Path
    ) -> AsyncIterator[Command]:
        """`slipway` with the cluster's kubeconfig and a Vault of its own that holds the registry's credential."""
        with vault_server(tmp_path / "vault") as vault:
            credential = cluster.credential
            vault.put(SECRET, {"username": credential.username, "password": credential.password})
            env = {
                "KUBECONFIG": cluster.access.kubeconfig or "",
                "VAULT_ADDR": vault.address,
                "VAULT_TOKEN": str(vault.token(policies=["root"], ttl="10m")["client_token"]),
                "PREFECT_API_URL": stack.connection.prefect_api_url,
            }

            async def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
                namespace = ["--namespace", cluster.access.namespace] if cluster.access.namespace else []
                return await asyncio.to_thread(slipway, *arguments, *namespace, env=env)

            yield run

    @pytest.fixture
    def builder_options(self) -> list[str]:
        return [
            *("--builder", "kubernetes", "--insecure-registry", "--credentials", f"vault:{SECRET}"),
            *("--run-label", "team=tests", "--output", "json"),
            *("--builder-option", "cpu=50m", "--builder-option", "memory=64Mi", "--builder-option", "cache_size=2Gi"),
        ]

    @pytest.fixture
    def options(self, builder_options: list[str], cluster: ClusterUnderTest) -> list[str]:
        return [*builder_options, "--image", f"{cluster.registry}/team/app"]

    async def test_a_release_leaves_an_image_and_nothing_else(
        self, command: Command, options: list[str], cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
    ) -> None:
        """Built, pushed with Vault's credential, tagged; no object is left, and none made when nothing is new."""
        source = busybox_context(tmp_path / "app", "FROM scratch\nCOPY busybox /busybox\n")
        first = await command("release", source, *options)
        assert first.returncode == 0, first.stderr
        result = json.loads(first.stdout)
        assert result["released"] and result["reference"].startswith(f"{cluster.registry}/team/app:")
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []
        again = await command("release", source, *options, "--only-new")
        assert not json.loads(again.stdout)["released"], again.stderr
        assert "provision builder" not in again.stderr
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
        assert self.tags(cluster, place) == {"base": ["0.1.0"], "web": ["0.1.0"], "api": ["0.1.0"]}
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

    @staticmethod
    def tags(cluster: ClusterUnderTest, place: str) -> dict[str, list[str]]:
        login = cluster.credential.username, cluster.credential.password
        return {name: registry_tags(cluster.registry, f"{place}/{name}", login) for name in ("base", "web", "api")}


def _set_of(*heirs: str) -> dict[str, Any]:
    """A bake file: `base`, and images that are based on it."""
    based = {heir: {"dockerfile": heir, "contexts": {"base": "target:base"}} for heir in heirs}
    return {"group": {"default": {"targets": ["base", *heirs]}}, "target": {"base": {}, **based}}

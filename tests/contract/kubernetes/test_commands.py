"""`slipway sweep` and `slipway manifests` on the Kubernetes in this process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.manifests import run_lease
from infra.kubernetes.model import BuilderSpec, Run
from infra.kubernetes.sweep import sweep
from tests.conftest import clean_environment
from tests.kubernetes.cluster import names_left
from tests.kubernetes.server import KubernetesServer

OURS = "app.kubernetes.io/managed-by=slipway"
PAST = "2020-01-01T00:00:00.000000Z"


@pytest.fixture
def engine_socket() -> None:
    """Nothing runs behind the objects."""


async def slipway(kubernetes: KubernetesServer, folder: Path, *arguments: str) -> str:
    """There is no Prefect server, so nothing is said of one."""
    env = clean_environment(KUBECONFIG=str(kubernetes.kubeconfig(folder)), SLIPWAY_HOME=str(folder / "no stack"))
    command = [Path(sys.executable).parent / "slipway", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


async def test_sweep_removes_what_expired_and_nothing_else(
    kubernetes: KubernetesServer, api: KubernetesApi, tmp_path: Path
) -> None:
    """A living run's Lease stays, and what bears another's labels; what went is named."""
    now = api.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    await api.create(run_lease(BuilderSpec(), Run("dead"), 60, PAST))
    await api.create(run_lease(BuilderSpec(), Run("alive"), 600, now))
    assert await slipway(kubernetes, tmp_path, "sweep") == "removed lease/slipway-dead\n"
    assert await names_left(api, OURS) == ["Lease/slipway-alive"]
    assert await slipway(kubernetes, tmp_path, "sweep") == "nothing had expired\n"


async def test_manifests_are_objects_that_neither_release_nor_sweep_takes_for_its_own(
    kubernetes: KubernetesServer, api: KubernetesApi, tmp_path: Path
) -> None:
    """All that makes a builder, as YAML, with the options that were asked for; no Secrets where they are not wanted."""
    text = await slipway(kubernetes, tmp_path, "manifests", "--namespace", "default", "--builder-option", "cpu=2")
    objects: list[Any] = list(yaml.safe_load_all(text))
    kinds = sorted(obj["kind"] for obj in objects)
    assert kinds == ["ConfigMap", "Deployment", "NetworkPolicy", "Secret", "Secret", "Service"]
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "2"
    for obj in objects:
        if obj["kind"] != "Deployment":  # there is no engine here that its pod could run
            await api.create(obj)
    assert await names_left(api, OURS) == []
    assert (await sweep(api)).objects == ()
    assert "kind: Secret" not in await slipway(kubernetes, tmp_path, "manifests", "--no-secrets")

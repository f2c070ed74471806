"""A run's process that is killed: who saw it die removes what it had made in the cluster, long before a sweep would."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed

from prefect_slipway.flows.release import release
from prefect_slipway.flows.run.after_crash import remove_what_is_left
from prefect_slipway.flows.run.cluster import run_name
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import CONFIG_MAP
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.access.lease import timestamp
from prefect_slipway.infra.kubernetes.builders.manifests import build_config, run_lease
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Run
from tests.conftest import SLIPWAY, RunningStack, run_program
from tests.integration.worker.conftest import worker
from tests.kubernetes.cluster import ClusterUnderTest, names_left
from tests.kubernetes.contract import OURS
from tests.kubernetes.server import KubernetesServer
from tests.prefect_server import PrefectServer
from tests.releases import BASE, make_source, run_line

_SAVE = """
from prefect_slipway.blocks import KubernetesBuilder
options = {"cpu": "50m", "memory": "64Mi", "cache_size": "2Gi"}
KubernetesBuilder(namespace="default", options=options, labels={"team": "tests"}).save("in-cluster", overwrite=True)
"""


@asynccontextmanager
async def _worker(env: Mapping[str, str], log: Path) -> AsyncIterator[psutil.Process]:
    """A worker whose end is waited for in a thread: its last clean-up asks the cluster in this event loop."""
    lasting = worker(env, log)
    process = lasting.__enter__()
    try:
        yield process
    finally:
        await asyncio.to_thread(lasting.__exit__, None, None, None)


@pytest.mark.root
async def test_a_run_that_is_killed_at_work_leaves_nothing(
    stack: RunningStack, cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
) -> None:
    """By a worker, with a saved builder; nobody sweeps, and the run's Lease would live for minutes."""
    api_url = stack.connection.prefect_api_url
    env = {**stack.env, "KUBECONFIG": str(cluster.access.kubeconfig), "PREFECT_API_URL": api_url}
    for command in ((SLIPWAY, "deploy-flows", "--pool", "slipway"), (sys.executable, "-c", _SAVE)):
        done = await asyncio.to_thread(run_program, *command, env=env)
        assert done.returncode == 0, done.stderr
    server = PrefectServer(api_url)
    source = make_source(tmp_path / "app", BASE + run_line(f": {uuid.uuid4().hex}; sleep 60"))
    request = {"source": str(source), "builder": {"address": "block:in-cluster"}, "build": {"network": "none"}}
    async with _worker(env, tmp_path / "worker") as process:
        run = await asyncio.to_thread(server.start, "release/any-source", request)
        made: list[str] = []
        while not any(name.startswith("ConfigMap/build-config") for name in made):
            assert (await asyncio.to_thread(server.state, run))["type"] in {"SCHEDULED", "PENDING", "RUNNING"}
            await asyncio.sleep(0.2)
            made = await names_left(api, f"{OURS},team=tests")
        assert any(name.startswith("Pod/") for name in made)
        (flow,) = process.children()
        flow.kill()
        assert (await asyncio.to_thread(server.end, run))["type"] == "CRASHED"
        # Long before a sweep would: the run's Lease lives for minutes from its last renewal.
        async with asyncio.timeout(60):
            while await names_left(api, OURS):
                await asyncio.sleep(0.2)


def crashed(builder: str | None, **facts: Any) -> FlowRun:
    return FlowRun(flow_id=uuid.uuid4(), parameters={"request": {"builder": {"address": builder}}}, **facts)


async def test_each_attempt_of_the_run_and_nobody_elses_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hooks of the flow that makes builders; what was run for another builder is none of theirs."""
    assert remove_what_is_left in release.on_crashed_hooks
    assert remove_what_is_left in release.on_cancellation_hooks
    async with KubernetesServer(None) as server:
        kubeconfig = str(server.kubeconfig(tmp_path))
        monkeypatch.setenv("KUBECONFIG", kubeconfig)
        run = crashed("kubernetes", run_count=1)
        async with KubernetesApi(ClusterAccess(kubeconfig)) as api:
            for attempt in (0, 1, 2):
                await made(api, run_name(str(run.id), attempt))
            await made(api, "another")
            await remove_what_is_left(release, crashed(None, id=run.id), Crashed())
            assert len(await names_left(api, OURS)) == 8
            for _ in range(2):
                await remove_what_is_left(release, run, Crashed())
                assert await names_left(api, OURS) == ["ConfigMap/build-config-another", "Lease/slipway-another"]


async def made(api: KubernetesApi, name: str) -> None:
    run = Run(name)
    await api.create(run_lease(BuilderSpec(), run, 600, timestamp(api.now())))
    await api.create(build_config(BuilderSpec(), run, "r", "t"))
    assert await api.get(CONFIG_MAP, f"build-config-{name}") is not None


async def test_a_cluster_that_is_away_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A hook has nobody to raise to."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with caplog.at_level(logging.WARNING, logger="prefect_slipway.flows.run.after_crash"):
        await remove_what_is_left(release, crashed("kubernetes"), Crashed())
    assert "left to `slipway sweep`" in caplog.text

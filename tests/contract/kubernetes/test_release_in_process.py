"""A whole release on the Kubernetes in this process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.kinds import POD, name_of
from infra.kubernetes.model import MANAGED_BY, SLIPWAY
from infra.kubernetes.sweep import everything
from tests.contract.buildkit.parts import busybox_context
from tests.kubernetes.release_contract import Command, ReleaseContract, pod_at_work, slow_dockerfile
from tests.kubernetes.server import KubernetesServer

pytestmark = pytest.mark.root


class TestReleaseInProcess(ReleaseContract):
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

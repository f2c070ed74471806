"""A Kubernetes in this process whose pods are a private Docker engine, and a registry."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from tests.conftest import clean_environment
from tests.engine import private_engine
from tests.kubernetes.cluster import PASSWORD, USER, ClusterUnderTest, RegistryHome
from tests.kubernetes.contract import run_killed
from tests.kubernetes.server import KubernetesServer
from tests.servers import registry_server


@pytest.fixture(scope="session")
def engine_socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="engine-") as home, private_engine(Path(home)) as address:
        yield Path(address.removeprefix("docker://"))


@pytest.fixture(scope="session")
def registry_home() -> Iterator[RegistryHome]:
    with tempfile.TemporaryDirectory(prefix="registry-") as home:
        yield RegistryHome(Path(home))


@pytest.fixture(scope="session")
def pushed_to(registry_home: RegistryHome) -> Iterator[str]:
    with registry_server(registry_home.path, {USER: PASSWORD}) as host:
        yield host


@pytest.fixture
async def kubernetes(engine_socket: Path | None) -> AsyncIterator[KubernetesServer]:
    async with KubernetesServer(engine_socket) as server:
        yield server


@pytest.fixture
def cluster(
    kubernetes: KubernetesServer, pushed_to: str, registry_home: RegistryHome, tmp_path: Path
) -> ClusterUnderTest:
    kubeconfig = str(kubernetes.kubeconfig(tmp_path))

    async def evict(pod: str) -> None:
        kubernetes.controller.evict(("pods", "default", pod))

    async def kill(pod: str) -> None:
        await kubernetes.controller.kill(("pods", "default", pod), "Error")

    return ClusterUnderTest(
        ClusterAccess(kubeconfig),
        pushed_to,
        Credential(USER, PASSWORD),
        evict,
        kill,
        registry_home.set_password,
        clean_environment(KUBECONFIG=kubeconfig, PYTHONPATH=os.pathsep.join(["."])),
    )


@pytest.fixture
async def api(kubernetes: KubernetesServer, tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi(ClusterAccess(str(kubernetes.kubeconfig(tmp_path)))) as api:
        yield api


@pytest.fixture
def killed(cluster: ClusterUnderTest) -> Callable[..., Awaitable[str]]:
    return lambda *arguments: asyncio.ensure_future(run_killed(cluster, *arguments))

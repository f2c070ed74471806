"""Deploys on the Kubernetes in this process, with the session's real stack: registry, Vault and Prefect."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from tests.conftest import RunningStack
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rbac import Authorizer, least_role
from tests.kubernetes.rollout_parts import Images, push_images
from tests.kubernetes.server import KubernetesServer
from tests.kubernetes.workloads import WorkloadController
from tests.releases import registry_login


def pytest_itemcollected(item: pytest.Item) -> None:
    # Prefect keeps its clients' connections in caches and leaves them to the garbage collector.
    for message in ("unclosed", "Exception ignored in"):
        item.add_marker(pytest.mark.filterwarnings(f"ignore:{message}"))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    # So that they go while their warnings are ignored, not in the middle of another folder's test.
    gc.collect()


@pytest.fixture(scope="session")
def prefect_client(stack: RunningStack) -> Iterator[None]:
    """Prefect's client side; what it has not sent yet is sent before the server goes."""
    yield
    APILogWorker.drain_all(timeout=20)
    EventsWorker.drain_all(timeout=20)


@pytest.fixture
def images(stack: RunningStack) -> Images:
    """In a repository of the test's own, so that its events are its own as well."""
    login = registry_login(stack.connection)
    return push_images(str(stack.connection.registry), f"t{uuid.uuid4().hex[:8]}/app", login)


@pytest.fixture
async def kubernetes(stack: RunningStack, images: Images) -> AsyncIterator[KubernetesServer]:
    """Its nodes pull with the registry's credential; what is not one of the images here behaves well."""
    pulls_with = Credential(*registry_login(stack.connection))

    def behaviour(image: str) -> str:
        return images.behaviour(image) or "good"

    async with KubernetesServer(
        None, workloads=lambda store: WorkloadController(store, behaviour, pulls_with)
    ) as server:
        yield server


@pytest.fixture
async def place(
    stack: RunningStack,
    images: Images,
    kubernetes: KubernetesServer,
    prefect_client: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[DeployPlace]:
    """By an account with the Role that ships. Nothing of the developer's own servers is reached."""
    kubernetes.fault = deployer = Authorizer(least_role("slipway-deploy"), kubernetes.store, token="deployer")
    kubeconfig = str(kubernetes.kubeconfig(tmp_path, token="deployer"))
    env = {**stack.env, "KUBECONFIG": kubeconfig}
    for name in list(os.environ):
        if name not in env and name.startswith(("SLIPWAY_", "PREFECT_", "VAULT_")):
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    options = {
        "pull_credentials": stack.connection.registry_secret,
        "timeout_s": 20.0,
        "settle_s": 0.5,  # many times what the controller here takes to think
        "patience_s": 1.0,
    }

    async def revoke(resource: str, *verbs: str) -> None:
        deployer.without(resource, *verbs)

    async with KubernetesApi(ClusterAccess(str(kubernetes.kubeconfig(tmp_path)))) as api:
        yield DeployPlace(api, images, stack, options, env, revoke, registry_login(stack.connection))

"""A real cluster, found by KUBECONFIG; each test gets a namespace of its own in it.

Pods have to reach this machine: its registry listens on the address from which this machine reaches the first node
(SLIPWAY_CLUSTER_HOST names another).
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.local.registry import registry_spec
from tests.conftest import clean_environment
from tests.kubernetes.cluster import PASSWORD, USER, ClusterUnderTest, RegistryHome
from tests.kubernetes.contract import run_killed
from tests.ports import free_port
from tests.servers import running

# The administrator's, read before a test sets that of an account with fewer rights for what it runs.
_ADMIN = os.environ.get("KUBECONFIG")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in [item for item in items if Path(__file__).parent in item.path.parents]:
        # A node of a few processors pulls, starts and ends pods in minutes when it has other work.
        item.add_marker(pytest.mark.timeout(600))
        if not _ADMIN:
            item.add_marker(pytest.mark.skip(reason="KUBECONFIG names no cluster to test on"))


def run_kubectl(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """As the cluster's administrator, whatever account the test has put into the environment."""
    env = {**os.environ, "KUBECONFIG": _ADMIN or ""}
    return subprocess.run(["kubectl", *arguments], input=stdin, env=env, capture_output=True, text=True, check=False)


def kubectl(*arguments: str, stdin: str | None = None) -> Any:
    """kubectl's answer as JSON, as text where it is none."""
    done = run_kubectl(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    try:
        return json.loads(done.stdout)
    except ValueError:
        return done.stdout


def this_machine() -> str:
    """Its address, as pods see it."""
    if named := os.environ.get("SLIPWAY_CLUSTER_HOST"):
        return named
    node = kubectl("get", "nodes", "-o", "json")["items"][0]
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return str(probe.getsockname()[0])


@pytest.fixture(scope="session")
def on_a_node() -> bool:
    """Whether this machine is one of the cluster's, so that it reaches Services as their clients do."""
    for node in kubectl("get", "nodes", "-o", "json")["items"]:
        for address in (each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"):
            with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
                return True
    return False


@pytest.fixture(autouse=True)
def _services_are_reached(request: pytest.FixtureRequest) -> None:
    """From elsewhere there is no way to a Service, and a NetworkPolicy that is enforced would not let anybody in; the
    releases of test_install are jobs in the cluster, and take that way there.
    """
    callspec = getattr(request.node, "callspec", None)
    if callspec and callspec.params.get("reach") == "service" and not request.getfixturevalue("on_a_node"):
        pytest.skip("this machine is no node of the cluster: it reaches no Service")


@pytest.fixture(scope="session")
def host_address() -> str:
    """This machine, as pods see it."""
    return this_machine()


@pytest.fixture(scope="session")
def registry_home() -> Iterator[RegistryHome]:
    with tempfile.TemporaryDirectory(prefix="registry-") as home:
        yield RegistryHome(Path(home))


@pytest.fixture(scope="session")
def pushed_to(registry_home: RegistryHome, host_address: str) -> Iterator[str]:
    port = free_port()
    with open_registry(registry_home, port):
        yield f"{host_address}:{port}"


@pytest.fixture(scope="session")
def pulled_from(host_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that nodes pull from: SLIPWAY_CLUSTER_REGISTRY_PORT names the port of this machine's address from
    which their containerd takes images over plain HTTP."""
    port = os.environ.get("SLIPWAY_CLUSTER_REGISTRY_PORT")
    if port is None:
        pytest.skip("SLIPWAY_CLUSTER_REGISTRY_PORT names no port of this machine from which nodes pull in plain HTTP")
    with open_registry(RegistryHome(tmp_path_factory.mktemp("pulled-from")), int(port)):
        yield f"{host_address}:{port}"


@contextmanager
def open_registry(home: RegistryHome, port: int) -> Iterator[None]:
    """A registry with a password, on all addresses of this machine."""
    home.set_password(PASSWORD)
    spec = registry_spec(home.path, port)
    config = home.path / "registry" / "config.yml"
    settings = json.loads(config.read_text())
    settings["http"]["addr"] = f":{port}"
    config.write_text(json.dumps(settings))
    with running(spec, home.path):
        yield


@pytest.fixture
async def namespace() -> AsyncIterator[str]:
    name = f"slipway-test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    # A Pod needs the namespace's service account, which a controller makes.
    await asyncio.to_thread(kubectl, "-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    yield name
    await asyncio.to_thread(kubectl, "delete", "namespace", name, "--wait=false")


@pytest.fixture
async def cluster(namespace: str, pushed_to: str, registry_home: RegistryHome) -> ClusterUnderTest:
    async def evict(pod: str) -> None:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        await asyncio.to_thread(kubectl, "create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    async def kill(pod: str) -> None:
        command = ("kubectl", "-n", namespace, "exec", pod, "--", "sh", "-c", "kill -9 -1")
        # It ends with the container.
        await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)

    return ClusterUnderTest(
        ClusterAccess(os.environ["KUBECONFIG"], namespace=namespace),
        pushed_to,
        Credential(USER, PASSWORD),
        evict,
        kill,
        registry_home.set_password,
        clean_environment(TEST_NAMESPACE=namespace, PYTHONPATH="."),
    )


@pytest.fixture
async def api(cluster: ClusterUnderTest) -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi(cluster.access) as api:
        yield api


@pytest.fixture
def killed(cluster: ClusterUnderTest) -> Callable[..., Awaitable[str]]:
    return lambda *arguments: asyncio.ensure_future(run_killed(cluster, *arguments))

"""The small programs that an installation's pods run, against the in-process Kubernetes."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import ObjectMissing
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import POD, SECRET
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.install.own_image import own_image
from prefect_slipway.infra.kubernetes.install.passwords import make_passwords
from prefect_slipway.infra.kubernetes.install.wait_for import wait_for
from tests.kubernetes.server import KubernetesServer
from tests.ports import free_port
from tests.waiting import PATIENCE_S


@pytest.fixture
async def kubernetes() -> AsyncIterator[KubernetesServer]:
    async with KubernetesServer(None) as server:
        yield server


@pytest.fixture
def kubeconfig(kubernetes: KubernetesServer, tmp_path: Path) -> str:
    return str(kubernetes.kubeconfig(tmp_path))


async def secret(access: ClusterAccess, name: str) -> dict[str, str]:
    async with KubernetesApi(access) as api:
        found = await api.get(SECRET, name)
    return {key: base64.b64decode(value).decode() for key, value in (found or {}).get("data", {}).items()}


async def test_passwords_are_made_once(kubeconfig: str) -> None:
    """Again nothing is made and nothing changes; what is not the same for two parts is not the same twice."""
    here, runs = ClusterAccess(kubeconfig), ClusterAccess(kubeconfig, namespace="runs")
    assert await make_passwords(here, runs) == ["secret/postgres", "secret/webhooks", "secret/prefect-api"]
    before = [await secret(here, name) for name in ("postgres", "webhooks", "prefect-api")]
    values = [value for each in before for value in each.values()]
    assert len(set(values)) == 3 and all(len(value) >= 32 for value in values)
    assert await secret(runs, "prefect-api") == before[2]
    assert await secret(runs, "postgres") == {}
    assert await make_passwords(here, runs) == []
    assert [await secret(here, name) for name in ("postgres", "webhooks", "prefect-api")] == before


async def test_a_secret_of_ones_own_is_used_and_passed_on(kubernetes: KubernetesServer, kubeconfig: str) -> None:
    """Whoever made it, by hand or by an operator."""
    here, runs = ClusterAccess(kubeconfig), ClusterAccess(kubeconfig, namespace="runs")
    data = {"auth-string": base64.b64encode(b"me:mine").decode()}
    own = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prefect-api"}, "data": data}
    async with KubernetesApi(here) as api:
        await api.create(own)
    assert "secret/prefect-api" not in await make_passwords(here, runs)
    assert await secret(runs, "prefect-api") == {"auth-string": "me:mine"}


async def test_a_pod_finds_its_image(kubernetes: KubernetesServer, kubeconfig: str) -> None:
    """That of its first container; a pod that is not there is said."""
    pod = {"metadata": {"name": "worker-1"}, "spec": {"containers": [{"image": "slipway:1"}, {"image": "other:2"}]}}
    kubernetes.store.create((POD.plural, "default", "worker-1"), {"apiVersion": "v1", "kind": "Pod", **pod})
    assert await own_image(ClusterAccess(kubeconfig), "worker-1") == "slipway:1"
    with pytest.raises(ObjectMissing):
        await own_image(ClusterAccess(kubeconfig), "worker-2")


def test_waiting_ends_when_something_listens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says meanwhile what it waits for."""
    monkeypatch.setattr("prefect_slipway.infra.kubernetes.install.wait_for._PAUSE_S", 0.02)
    port = free_port()
    waiting = threading.Thread(target=wait_for, args=("127.0.0.1", port))
    waiting.start()
    try:
        while f"127.0.0.1:{port}" not in capsys.readouterr().out:
            waiting.join(0.02)
    finally:
        with socket.create_server(("127.0.0.1", port)):
            waiting.join(PATIENCE_S)
    assert not waiting.is_alive()

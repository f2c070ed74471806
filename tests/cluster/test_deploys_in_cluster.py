"""The deploy, rollback and promote flows on a real cluster, by a service account that has just the Role that ships."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import prefect_slipway.infra.kubernetes
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import CRON_JOB, DAEMON_SET, STATEFUL_SET, Kind
from tests.cluster.roles import kubeconfig_with_role, revoked
from tests.conftest import RunningStack
from tests.kubernetes.cluster import PASSWORD, USER, ClusterUnderTest
from tests.kubernetes.deploy_contract import DeployContract
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import Images, make, push_images
from tests.servers import vault_server
from tests.warm import WarmStarter

ROLE = Path(prefect_slipway.infra.kubernetes.__file__).parent / "deploy-role.yaml"
SECRET = "secret/cluster/registry"

# Prefect keeps its clients' connections in caches and leaves them to the garbage collector.
pytestmark = [pytest.mark.filterwarnings(f"ignore:{message}") for message in ("unclosed", "Exception ignored in")]


@pytest.fixture
def images(pulled_from: str) -> Images:
    """In a repository of the test's own, so that its events are its own as well."""
    return push_images(pulled_from, f"t{uuid.uuid4().hex[:8]}/app", (USER, PASSWORD))


@pytest.fixture
async def place(
    cluster: ClusterUnderTest,
    api: KubernetesApi,
    images: Images,
    stack: RunningStack,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[DeployPlace]:
    with vault_server(tmp_path / "vault") as vault:
        vault.put(SECRET, {"username": USER, "password": PASSWORD})
        token = str(vault.token(policies=["root"], ttl="10m")["client_token"])
        kubeconfig = str(kubeconfig_with_role(namespace, tmp_path, ROLE, "slipway-deploy"))
        env = {**stack.env, "KUBECONFIG": kubeconfig, "VAULT_ADDR": vault.address, "VAULT_TOKEN": token}
        for name in list(os.environ):
            if name not in env and name.startswith(("SLIPWAY_", "PREFECT_", "VAULT_")):
                monkeypatch.delenv(name)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        options = {
            "namespace": namespace,
            "pull_credentials": f"vault:{SECRET}",
            "insecure_registry": True,
            "timeout_s": 90.0,
            "settle_s": 2.0,
            "patience_s": 20.0,
        }

        async def revoke(resource: str, *verbs: str) -> None:
            await asyncio.to_thread(revoked, namespace, "slipway-deploy", resource, verbs)

        yield DeployPlace(api, images, stack, options, env, revoke, (USER, PASSWORD))
        gc.collect()


class TestDeployInCluster(DeployContract):
    pass


@pytest.mark.parametrize("kind", [STATEFUL_SET, DAEMON_SET, CRON_JOB], ids=lambda kind: kind.name)
async def test_the_least_role_suffices_for_every_kind(place: DeployPlace, kind: Kind) -> None:
    """Deployments are what the contract deploys to."""
    name = await make(place.api, kind, place.images["good"])
    result = await place.deploy("better", workload=str(name))
    assert result.changed


async def test_a_rollback_that_is_told_to_end_before_it_has_set_anything_says_so(
    place: DeployPlace, commands: WarmStarter
) -> None:
    """By the command line: no image was taken back, as none was set."""
    await place.make()
    for behaviour in ("good", "better"):
        await place.deploy(behaviour)
    before = (await place.state()).obj["spec"]
    options = ("--approval", "--namespace", place.options["namespace"], "--insecure-registry")
    command = commands.start("rollback", "deployment/app", *options, env=place.env)
    await asyncio.to_thread(command.until, "waiting until")
    command.signal(signal.SIGTERM)
    ended = await asyncio.to_thread(command.end)
    assert ended.code == 130, ended.stderr
    assert "the rollout was interrupted: nothing was changed\n" in ended.stderr
    assert (await place.state()).obj["spec"] == before

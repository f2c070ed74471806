"""The deploy, rollback and promote flows on a real cluster, by a service account that has just the Role that ships."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

import infra.kubernetes
from flows.domain.errors import ClusterForbidden
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.kinds import CRON_JOB, DAEMON_SET, DEPLOYMENT, STATEFUL_SET, Kind
from tests.cluster.conftest import kubectl
from tests.conftest import RunningStack
from tests.kubernetes.cluster import PASSWORD, USER, ClusterUnderTest
from tests.kubernetes.deploy_contract import DeployContract
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import Images, make, push_images
from tests.servers import vault_server

ROLE = Path(infra.kubernetes.__file__).parent / "deploy-role.yaml"
SECRET = "secret/cluster/registry"

# Prefect keeps its clients' connections in caches and leaves them to the garbage collector.
pytestmark = [pytest.mark.filterwarnings(f"ignore:{message}") for message in ("unclosed", "Exception ignored in")]


def kubeconfig_of_deployer(namespace: str, folder: Path, role: Path) -> Path:
    """A kubeconfig of a service account that has this Role alone."""
    kubectl("-n", namespace, "create", "serviceaccount", "deployer")
    kubectl("-n", namespace, "create", "--validate=false", "-f", str(role))
    binding = ("create", "rolebinding", "deployer", "--role=slipway-deploy")
    kubectl("-n", namespace, *binding, f"--serviceaccount={namespace}:deployer")
    token = str(kubectl("-n", namespace, "create", "token", "deployer")).strip()
    config = kubectl("config", "view", "--raw", "--minify", "-o", "json")
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    config["contexts"][0]["context"]["namespace"] = namespace
    path = folder / "deployer.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


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
        kubeconfig = str(kubeconfig_of_deployer(namespace, tmp_path, ROLE))
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
        yield DeployPlace(api, images, stack, options, env)
        gc.collect()


class TestDeployInCluster(DeployContract):
    pass


@pytest.mark.parametrize("kind", [STATEFUL_SET, DAEMON_SET, CRON_JOB], ids=lambda kind: kind.name)
async def test_the_least_role_suffices_for_every_kind(place: DeployPlace, kind: Kind) -> None:
    """Deployments are what the contract deploys to."""
    name = await make(place.api, kind, place.images["good"])
    result = await place.deploy("better", workload=str(name))
    assert result.changed


async def test_what_a_role_lacks_is_named(place: DeployPlace) -> None:
    """Verb and resource, as a Role writes them; nothing was changed."""
    await make(place.api, DEPLOYMENT, place.images["good"])
    rules = yaml.safe_load(ROLE.read_text())["rules"]
    rules[0]["verbs"].remove("patch")
    await place.api.merge(Kind("Role", "rbac.authorization.k8s.io/v1", "roles"), "slipway-deploy", {"rules": rules})
    with pytest.raises(ClusterForbidden, match=r"patch on deployments"):
        await place.deploy("better")
    assert (await place.state()).image == place.images["good"]

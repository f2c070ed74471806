"""Rollouts on a real cluster.

Its nodes have to pull from this machine: SLIPWAY_CLUSTER_REGISTRY_PORT names the port of this machine's address from
which their containerd takes images over plain HTTP.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.domain.credentials import Credential
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.rollout import RolloutRules
from infra.local.registry import registry_spec, write_users
from tests.kubernetes.cluster import PASSWORD, USER
from tests.kubernetes.rollout_contract import RolloutContract, Rollouts
from tests.kubernetes.rollout_parts import Images, push_images
from tests.servers import running


@pytest.fixture(scope="session")
def pulled_from(host_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with a password, which nodes pull from."""
    port = os.environ.get("SLIPWAY_CLUSTER_REGISTRY_PORT")
    if port is None:
        pytest.skip("SLIPWAY_CLUSTER_REGISTRY_PORT names no port of this machine from which nodes pull in plain HTTP")
    home = tmp_path_factory.mktemp("pulled-from")
    write_users(home, {USER: PASSWORD})
    spec = registry_spec(home, int(port))
    config = Path(home) / "registry" / "config.yml"
    settings = json.loads(config.read_text())
    settings["http"]["addr"] = f":{port}"
    config.write_text(json.dumps(settings))
    with running(spec, home):
        yield f"{host_address}:{port}"


@pytest.fixture(scope="session")
def images(pulled_from: str) -> Images:
    return push_images(pulled_from, "team/app", (USER, PASSWORD))


@pytest.fixture
def rollouts(api: KubernetesApi, images: Images) -> Rollouts:
    rules = RolloutRules(timeout_s=90.0, settle_s=2.0, patience_s=20.0)
    return Rollouts(api, images, Credential(USER, PASSWORD), rules, overdue_s=5.0)


class TestRolloutInCluster(RolloutContract):
    pass

"""The rollouts' contract on a real cluster."""

from __future__ import annotations

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.workloads.rollout import RolloutRules
from tests.kubernetes.cluster import PASSWORD, USER
from tests.kubernetes.rollout_contract import RolloutContract, Rollouts
from tests.kubernetes.rollout_parts import Images, push_images


@pytest.fixture(scope="session")
def images(pulled_from: str) -> Images:
    return push_images(pulled_from, "team/app", (USER, PASSWORD))


@pytest.fixture
def rollouts(api: KubernetesApi, images: Images) -> Rollouts:
    rules = RolloutRules(timeout_s=90.0, settle_s=2.0, patience_s=20.0)
    return Rollouts(api, images, Credential(USER, PASSWORD), rules, overdue_s=5.0)


class TestRolloutInCluster(RolloutContract):
    pass

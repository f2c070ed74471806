"""The rollouts' contract on the Kubernetes in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.workloads.rollout import RolloutRules
from tests.kubernetes.cluster import PASSWORD, USER
from tests.kubernetes.rollout_contract import RolloutContract, Rollouts
from tests.kubernetes.rollout_parts import BEHAVIOURS, Images
from tests.kubernetes.server import KubernetesServer
from tests.kubernetes.workloads import WorkloadController

# No registry is needed here: what an image does is known by its digest.
IMAGES = Images("r.example/team/app", {name: f"sha256:{i:064x}" for i, name in enumerate(BEHAVIOURS)})
CREDENTIAL = Credential(USER, PASSWORD)


@pytest.fixture
async def kubernetes() -> AsyncIterator[KubernetesServer]:
    async with KubernetesServer(
        None, workloads=lambda store: WorkloadController(store, IMAGES.behaviour, CREDENTIAL)
    ) as server:
        yield server


@pytest.fixture
def rollouts(api: KubernetesApi) -> Rollouts:
    return Rollouts(api, IMAGES, CREDENTIAL, RolloutRules(timeout_s=10.0, settle_s=0.5, patience_s=2.0), overdue_s=1.0)


class TestRolloutInProcess(RolloutContract):
    pass

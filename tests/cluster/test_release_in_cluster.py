"""A whole release on a real cluster."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from tests.cluster.roles import kubeconfig_with_role, revoked
from tests.cluster.test_builder_in_cluster import ROLE
from tests.kubernetes.cluster import ClusterUnderTest
from tests.kubernetes.release_contract import LeastRoleReleaseContract, ReleaseContract, Revoke


class TestReleaseInCluster(ReleaseContract):
    pass


class TestReleaseWithTheLeastRole(LeastRoleReleaseContract):
    """By a service account that has the Role that ships, and nothing else."""

    @pytest.fixture
    async def cluster(self, cluster: ClusterUnderTest, namespace: str, tmp_path: Path) -> ClusterUnderTest:
        kubeconfig = kubeconfig_with_role(namespace, tmp_path, ROLE)
        return dataclasses.replace(cluster, access=ClusterAccess(str(kubeconfig), namespace=namespace))

    @pytest.fixture
    def revoke(self, cluster: ClusterUnderTest, namespace: str) -> Revoke:
        return lambda resource, *verbs: asyncio.to_thread(revoked, namespace, "slipway", resource, verbs)

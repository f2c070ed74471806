"""The flows' contract on the Kubernetes in this process."""

from __future__ import annotations

from tests.kubernetes.deploy_contract import DeployContract


class TestDeployInProcess(DeployContract):
    pass

"""Logging in to Vault by a pod's service account, with the cluster itself as the judge of its token."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import VaultLoginRefused
from prefect_slipway.infra.domain.secret_path import CredentialPath, SecretPath
from prefect_slipway.infra.vault.access import JwtAuth, TokenFile, VaultAccess
from prefect_slipway.infra.vault.credentials import VaultCredentials
from prefect_slipway.infra.vault.session import VaultSession
from tests.cluster.conftest import kubectl
from tests.servers import VaultServer, vault_server


async def test_a_service_account_reads_its_credential(namespace: str, tmp_path: Path) -> None:
    """The token that Kubernetes mounts is enough; another account's is refused."""
    kubectl("-n", namespace, "create", "serviceaccount", "vault")
    reviewer = f"{namespace}-vault"
    kubectl(
        *("create", "clusterrolebinding", reviewer, "--clusterrole=system:auth-delegator"),
        f"--serviceaccount={namespace}:vault",
    )
    try:
        await read_by_service_account(namespace, tmp_path)
    finally:
        kubectl("delete", "clusterrolebinding", reviewer)


async def read_by_service_account(namespace: str, tmp_path: Path) -> None:
    with vault_server(tmp_path / "vault") as vault:
        vault.put("secret/team/registry", {"username": "robot", "password": "from Vault"})
        trust_cluster(vault, namespace)
        for account in ("releaser", "stranger"):
            kubectl("-n", namespace, "create", "serviceaccount", account)
            (tmp_path / account).write_text(token(namespace, account))
        path = SecretPath.parse("vault:secret/team/registry")
        access = VaultAccess(vault.address, JwtAuth("slipway", TokenFile(tmp_path / "releaser"), "kubernetes"))
        async with VaultSession(access) as session:
            found = await VaultCredentials(session, {"registry.example": CredentialPath(path)}).credential(
                "registry.example"
            )
        assert found == Credential("robot", "from Vault")
        stranger = VaultAccess(vault.address, JwtAuth("slipway", TokenFile(tmp_path / "stranger"), "kubernetes"))
        async with VaultSession(stranger) as session:
            with pytest.raises(VaultLoginRefused):
                await session.read(path)


def trust_cluster(
    vault: VaultServer, namespace: str, account: str = "releaser", account_namespace: str | None = None
) -> None:
    """Vault asks this cluster (TokenReview, as the account `vault`) who a token belongs to, and lets `account` read."""
    server = kubectl("config", "view", "--raw", "--minify", "-o", "json")["clusters"][0]["cluster"]
    vault.root.call("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
    vault.root.call(
        "POST",
        "auth/kubernetes/config",
        {
            "kubernetes_host": server["server"],
            "kubernetes_ca_cert": base64.b64decode(server["certificate-authority-data"]).decode(),
            "token_reviewer_jwt": token(namespace, "vault"),
            "disable_local_ca_jwt": True,
        },
    )
    policy = 'path "secret/data/team/registry" { capabilities = ["read"] }'
    vault.root.call("PUT", "sys/policies/acl/registry", {"policy": policy})
    vault.root.call(
        "POST",
        "auth/kubernetes/role/slipway",
        {
            "bound_service_account_names": [account],
            "bound_service_account_namespaces": [account_namespace or namespace],
            "token_policies": ["registry"],
            "token_ttl": "10m",
        },
    )


def token(namespace: str, account: str) -> str:
    return str(kubectl("-n", namespace, "create", "token", account)).strip()

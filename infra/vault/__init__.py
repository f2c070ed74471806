"""Vault (HashiCorp's, or OpenBao), which owns the credentials."""

from infra.vault.access import AppRoleAuth, KubernetesAuth, TokenAuth, VaultAccess
from infra.vault.credentials import VaultCredentials
from infra.vault.secrets import SecretValues
from infra.vault.session import VaultSession

__all__ = [
    "AppRoleAuth",
    "KubernetesAuth",
    "SecretValues",
    "TokenAuth",
    "VaultAccess",
    "VaultCredentials",
    "VaultSession",
]

"""Vault (HashiCorp's, or OpenBao), which owns the credentials and the signing keys."""

from infra.vault.access import AppRoleAuth, KubernetesAuth, TokenAuth, VaultAccess
from infra.vault.credentials import VaultCredentials
from infra.vault.secrets import SecretValues
from infra.vault.session import VaultSession
from infra.vault.transit import TransitKey, TransitPath

__all__ = [
    "AppRoleAuth",
    "KubernetesAuth",
    "SecretValues",
    "TokenAuth",
    "TransitKey",
    "TransitPath",
    "VaultAccess",
    "VaultCredentials",
    "VaultSession",
]

"""Vault (HashiCorp's, or OpenBao), which stores the credentials and the signing keys."""

from prefect_slipway.infra.vault.access import AppRoleAuth, KubernetesAuth, TokenAuth, VaultAccess
from prefect_slipway.infra.vault.credentials import VaultCredentials
from prefect_slipway.infra.vault.secrets import SecretValues
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath

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

"""A Vault with the registry's credential and signing keys, for releases that are signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.servers import VaultServer

KEY = "vault:transit/release"
USUAL = {"SLIPWAY_SIGN": ""}
SIGNED = ("--sign", KEY)


@dataclass(frozen=True)
class Place:
    """A Vault with the registry's credential and signing keys, and the environment of who may use them."""

    vault: VaultServer
    env: Mapping[str, str]
    credentials: tuple[str, ...]

    def as_root(self) -> dict[str, str]:
        return {**self.env, "VAULT_TOKEN": str(self.vault.token(policies=["root"])["client_token"])}

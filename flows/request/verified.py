"""The requests of `slipway verify` and `slipway key`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prefect_slipway.blocks.fields import SigningKey
from prefect_slipway.flows.request.inspected import InspectRequest
from prefect_slipway.flows.request.model import Option, Request, SavedVault


class VerifyRequest(InspectRequest):
    """One image, the keys that are trusted, and what it must have."""

    keys: Annotated[list[str], Option("key", "vault:MOUNT/KEY|FILE", "k")] = Field(
        default_factory=list,
        description=(
            "Trusted public keys: a PEM file, or `vault:MOUNT/KEY` for the versions of a key in Vault's Transit engine "
            "that are not revoked. At least one; one of them must have signed."
        ),
    )
    provenance: bool = Field(default=False, description="Require a signed SLSA provenance of each platform.")
    sbom: bool = Field(default=False, description="Require a signed SBOM of each platform.")


class KeyRequest(Request):
    """A key in Vault."""

    key: SigningKey = Field(description="The key in Vault's Transit engine: vault:MOUNT/KEY.")
    vault: SavedVault = None

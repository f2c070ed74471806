"""The requests of `slipway verify` and `slipway key`."""

from __future__ import annotations

from pydantic import Field

from prefect_slipway.blocks.fields import SigningKey
from prefect_slipway.flows.request.inspected import InspectRequest
from prefect_slipway.flows.request.model import Request, SavedVault
from prefect_slipway.flows.request.requirements import Requirements


class VerifyRequest(Requirements, InspectRequest):
    """One image, the keys that are trusted, and what it must have."""


class KeyRequest(Request):
    """A key in Vault."""

    key: SigningKey = Field(description="The key in Vault's Transit engine: vault:MOUNT/KEY.")
    vault: SavedVault = None

"""The section of a request on registries and their credentials."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prefect_slipway.blocks.fields import CredentialPlace
from prefect_slipway.flows.request.model import InsecureRegistry, Option, RegistryCa, Request, SavedVault


class RegistryAccess(Request, title="Credentials"):
    """The registries of a release: the places of their credentials in Vault, and the connection to the image's."""

    registries: Annotated[list[CredentialPlace], Option("credentials", "WHERE")] = Field(
        default_factory=list,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` for the image's registry, HOST=vault:MOUNT/PATH for a base image's. "
            "`#FIELD,user=NAME` behind it names other fields than `username` and `password`. Leave empty for the "
            "embedded registry's own credential, or anonymous access elsewhere."
        ),
    )
    vault: SavedVault = None
    registry_ca: RegistryCa = None
    insecure_registry: InsecureRegistry = False

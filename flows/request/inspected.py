"""The request of `slipway inspect`: an image, and access to its registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from prefect_slipway.blocks.fields import CredentialPlace
from prefect_slipway.flows.request.model import Option
from prefect_slipway.flows.request.rollout import RegistryOptions
from prefect_slipway.infra.domain.reference import ImageReference


class InspectRequest(RegistryOptions):
    """One image in its registry."""

    reference: str = Field(
        description=(
            "REGISTRY/REPOSITORY, with :VERSION or @sha256:…, or a name in the embedded registry. Without a version: "
            "the newest one."
        ),
    )
    credentials: Annotated[list[CredentialPlace], Option(metavar="WHERE")] = Field(
        default_factory=list,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` of the registry's credential. Leave empty for the embedded registry's "
            "own, docker's configuration, or anonymous access."
        ),
    )

    @field_validator("reference")
    @classmethod
    def _reference_is_one(cls, value: str) -> str:
        # A version's tag has `_` for the `+` of its build metadata (domain/version.py), and nothing else has a `+`.
        reference = value.replace("+", "_")
        ImageReference.parse(reference)
        return reference

"""What an image must have to be trusted: one model behind the options of `slipway verify`, `--require` and a saved
policy."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from prefect_slipway.blocks.fields import Option, Source
from prefect_slipway.infra.domain.options import seconds_of


class RequiredOfAnImage(BaseModel):
    """Keys, and what they must have signed."""

    trusted_keys: Annotated[list[str], Option("key", "vault:MOUNT/KEY|FILE", "k")] = Field(
        default_factory=list,
        description=(
            "Trusted public keys: a PEM file, or `vault:MOUNT/KEY` for the versions of a key in Vault's Transit engine "
            "that are not revoked. One of them must have signed. `slipway verify` trusts the embedded stack's key for "
            "images of the embedded registry."
        ),
    )
    provenance: bool = Field(default=False, description="Require a signed SLSA provenance of each platform.")
    sbom: bool = Field(default=False, description="Require a signed SBOM of each platform.")
    source: Annotated[Source | None, Option(metavar="URL")] = Field(
        default=None,
        description=(
            "Require a signed provenance that says that the image was built from this git repository, without local "
            "changes. Leave empty for any source."
        ),
    )
    ref: str | None = Field(
        default=None,
        description="Require a signed provenance with this branch, tag or commit. Leave empty for any.",
    )
    gates: Annotated[list[str], Option("gate", "NAME")] = Field(
        default_factory=list, description="Require a signed test result that says that the image passed this gate."
    )
    max_age: Annotated[str | None, Option(metavar="AGE")] = Field(
        default=None,
        description=(
            "Require that the signed provenance says that the build finished at most this long ago: a number with "
            "`s`, `m`, `h`, `d` or `w`, such as `30d`. Leave empty for any age."
        ),
    )
    rebuilt: bool = Field(
        default=False,
        description="Require a signed statement that each platform was rebuilt to the same digest.",
    )

    @field_validator("max_age")
    @classmethod
    def _max_age_is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            seconds_of(value)
        return value

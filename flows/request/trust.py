"""The section of a request on signatures."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from prefect_slipway.blocks.fields import NO_KEY, SignerPlace
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption


class Trust(Request):
    """Which keys in Vault sign the image."""

    sign: Annotated[list[SignerPlace], Option(metavar="vault:MOUNT/KEY|none")] = Field(
        default_factory=list,
        description=(
            "Keys of Vault's Transit engine, `vault:MOUNT/KEY`. They sign the image, its platforms and attestations "
            "before the version's tag exists. `none` for no signature. Leave empty for the embedded Vault's key if the "
            "image goes to the embedded registry, else for no signature."
        ),
    )
    sign_format: Literal["both", "bundle", "cosign"] = Field(
        default="both",
        description=(
            "Format of signatures: `bundle` for Sigstore bundles, with signed attestations, `cosign` for the older one "
            "of cosign 2 and containers' policy.json, or `both`. Default: both."
        ),
    )

    @model_validator(mode="after")
    def _none_stands_alone(self) -> Self:
        if NO_KEY in self.sign and len(self.sign) > 1:
            raise InvalidOption(f"{NO_KEY!r} cannot be combined with a signing key", action=f"remove {NO_KEY!r}")
        return self

    @property
    def places(self) -> tuple[str, ...]:
        """The keys that are named. (Prefect takes a value that has `keys` for a mapping.)"""
        return tuple(key for key in self.sign if key != NO_KEY)

    @property
    def older(self) -> bool:
        """Whether signatures in cosign's older format are made."""
        return self.sign_format != "bundle"

    @property
    def bundles(self) -> bool:
        """Whether Sigstore bundles are made."""
        return self.sign_format != "cosign"

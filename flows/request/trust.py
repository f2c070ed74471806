"""The section of a request on signatures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from prefect_slipway.blocks.fields import SigningKey
from prefect_slipway.flows.request.model import Option, Request


class Trust(Request):
    """Which keys in Vault sign the image."""

    sign: Annotated[list[SigningKey], Option(metavar="vault:MOUNT/KEY")] = Field(
        default_factory=list,
        description=(
            "Keys of Vault's Transit engine, `vault:MOUNT/KEY`. They sign the image, its platforms and attestations "
            "before the version's tag exists. Leave empty for no signature."
        ),
    )
    sign_format: Literal["both", "bundle", "cosign"] = Field(
        default="both",
        description=(
            "Format of signatures: `bundle` for Sigstore bundles, with signed attestations, `cosign` for the older one "
            "of cosign 2 and containers' policy.json, or `both`. Default: both."
        ),
    )

    @property
    def older(self) -> bool:
        """Whether signatures in cosign's older format are made."""
        return self.sign_format != "bundle"

    @property
    def bundles(self) -> bool:
        """Whether Sigstore bundles are made."""
        return self.sign_format != "cosign"

"""The request of `slipway rebuild`: a released image, and the source and builder to build it with again."""

from __future__ import annotations

from pydantic import Field

from prefect_slipway.blocks.fields import Source
from prefect_slipway.flows.request.builder import BuilderChoice
from prefect_slipway.flows.request.checkout import Fetching
from prefect_slipway.flows.request.config import NO_FILE
from prefect_slipway.flows.request.inspected import InspectRequest
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.trust import Trust


class RebuildRequest(InspectRequest):
    """One image. The source is named by who rebuilds, never by the image: whoever pushed it could name any."""

    source: Source = Field(
        default=".", description="Git repository that has the image's commit: a directory or a URL. Default: `.`."
    )
    checkout: Fetching = Field(default_factory=Fetching, description="How the source is fetched.")
    builder: BuilderChoice = Field(
        default_factory=BuilderChoice, description="Which BuildKit daemon builds, and how to reach it or create it."
    )
    trust: Trust = Field(
        default_factory=Trust, description="Keys in Vault that sign a statement if the digests are equal."
    )

    def release(self, revision: str = "") -> ReleaseRequest:
        """The release whose connections are needed: of this commit of the source, if it is known. Raises
        InvalidOption."""
        checkout = self.checkout.model_dump(exclude_unset=True)
        return ReleaseRequest.read(
            {
                "source": self.source,
                "checkout": {**checkout, **({"ref": revision} if revision else {})},
                "credentials": self.access.model_dump(exclude_unset=True),
                "builder": self.builder.model_dump(exclude_unset=True),
                "trust": self.trust.model_dump(exclude_unset=True),
                "config": {"file": NO_FILE},
            }
        )

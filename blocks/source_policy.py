"""A saved source policy: what builds may use."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, field_validator

from prefect_slipway.blocks.addresses import documentation, logo
from prefect_slipway.infra.domain import source_policy


class SourcePolicy(Block):
    """A source policy (`--source-policy block:NAME`): which images, git repositories and URLs a build may use.

    Example:
        Release by a saved source policy:

        ```python
        from prefect_slipway import ReleaseRequest, release

        request = ReleaseRequest(build={"source_policy": "block:BLOCK_NAME"})
        await release(request)
        ```
    """

    _block_type_name = "Slipway Source Policy"
    _block_type_slug = "slipway-source-policy"
    _description = "What the builds of releases may use: images, git repositories and URLs."
    _logo_url = logo("filesystem")
    _documentation_url = documentation(_block_type_slug)

    text: str = Field(description="The policy, in BuildKit's JSON or in Rego.")

    @field_validator("text")
    @classmethod
    def _text_can_be_read(cls, value: str) -> str:
        source_policy.SourcePolicy.read("the source policy", value)
        return value

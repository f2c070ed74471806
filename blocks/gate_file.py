"""A saved policy, or saved waivers, of gates."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field

from prefect_slipway.blocks.addresses import documentation, logo


class GateFile(Block):
    """A policy in Rego (`--gate policy:block:NAME`), or waivers in TOML (`--waivers block:NAME`).

    Example:
        Release what passes a saved policy:

        ```python
        from prefect_slipway import ReleaseRequest, release

        request = ReleaseRequest(gates={"run": ["policy:block:BLOCK_NAME"]})
        await release(request)
        ```
    """

    _block_type_name = "Slipway Gate File"
    _block_type_slug = "slipway-gate-file"
    _description = "A policy or waivers for the gates of releases."
    _logo_url = logo("filesystem")
    _documentation_url = documentation(_block_type_slug)

    text: str = Field(description="The policy in Rego, or the waivers in TOML.")

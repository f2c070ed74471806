"""A saved builder: the addresses of existing BuildKit daemons."""

from __future__ import annotations

from typing import Any, Literal

from prefect.blocks.core import Block
from pydantic import Field

from prefect_slipway.blocks.addresses import documentation, logo
from prefect_slipway.blocks.fields import BuilderPlace


class Builder(Block):
    """A BuildKit daemon, or several, each for its own platforms. The client key stays in a file of the machine that
    runs the release.

    Example:
        Release an image that it builds:

        ```python
        from prefect_slipway import ReleaseRequest, release

        request = ReleaseRequest(source="https://git.example.com/app.git", builder={"address": "block:BLOCK_NAME"})
        await release(request)
        ```
    """

    _block_type_name = "Slipway Builder"
    _block_type_slug = "slipway-builder"
    _description = "A BuildKit daemon: its address and its TLS files."
    _logo_url = logo("docker")
    _documentation_url = documentation(_block_type_slug)

    address: BuilderPlace = Field(
        description=(
            "Address of the builder: tcp://HOST:PORT, unix://PATH, docker://[PATH] or docker-container://NAME. "
            "Several, separated by commas, build each platform where it is native."
        )
    )
    ca_file: str | None = Field(default=None, description="PEM file with the builder's CA; enables TLS for tcp://.")
    cert_file: str | None = Field(default=None, description="PEM file with the client certificate.")
    key_file: str | None = Field(default=None, description="PEM file with the client certificate's key.")
    server_name: str | None = Field(
        default=None, description="Name in the builder's certificate, if it is not the host name."
    )
    network: Literal["host", "none"] | None = Field(
        default=None, description="Network of the RUN steps. Leave empty for the builder's default."
    )

    def request_fields(self) -> dict[str, Any]:
        """The fields of a release request that this block sets."""
        return {
            "builder": {
                "address": self.address,
                "ca": self.ca_file,
                "cert": self.cert_file,
                "key": self.key_file,
                "name": self.server_name,
            },
            "build": {"network": self.network},
        }

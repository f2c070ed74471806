"""A saved registry: how to connect to it, and where Vault keeps its credential."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from pydantic import Field

from prefect_slipway.blocks.addresses import documentation, logo
from prefect_slipway.blocks.fields import SecretPlace


class Registry(Block):
    """An OCI registry. It holds no password: only the place in Vault where it is read at each use.

    Example:
        Release an image to it:

        ```python
        from prefect_slipway import ReleaseRequest, release

        request = ReleaseRequest(
            source="https://git.example.com/app.git",
            image="registry.example.com/team/app",
            credentials={"registries": ["block:BLOCK_NAME"]},
        )
        await release(request)
        ```
    """

    _block_type_name = "Slipway Registry"
    _block_type_slug = "slipway-registry"
    _description = "An OCI registry and its credential's place in Vault."
    _logo_url = logo("docker")
    _documentation_url = documentation(_block_type_slug)

    host: str = Field(description="Host name and optional port, as in image references.")
    credential: SecretPlace = Field(
        description="Place of a secret with the fields username and password: vault:MOUNT/PATH."
    )
    ca_file: str | None = Field(
        default=None, description="PEM file with the registry's CA on the machine that runs the release."
    )
    insecure: bool = Field(default=False, description="Use plain HTTP for the registry.")

    def request_fields(self) -> dict[str, Any]:
        """The fields of a release request that this block sets."""
        return {
            "credentials": {
                "registries": [f"{self.host}={self.credential}"],
                "registry_ca": self.ca_file,
                "insecure_registry": self.insecure,
            },
        }

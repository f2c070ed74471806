"""A saved source, for repeated releases."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from pydantic import Field

from prefect_slipway.blocks.addresses import documentation, logo
from prefect_slipway.blocks.fields import SecretPlace
from prefect_slipway.blocks.fields import Source as SourceAddress


class Source(Block):
    """A directory, a git repository or an archive, and the settings to read it.

    Example:
        Release what is there:

        ```python
        from prefect_slipway import ReleaseRequest, release

        request = ReleaseRequest(source="block:BLOCK_NAME")
        await release(request)
        ```
    """

    _block_type_name = "Slipway Source"
    _block_type_slug = "slipway-source"
    _description = "The source of an image's Dockerfile and files."
    _logo_url = logo("filesystem")
    _documentation_url = documentation(_block_type_slug)

    source: SourceAddress = Field(
        description="Directory, git URL, archive URL, or vault:MOUNT/PATH#FIELD of a secret archive URL."
    )
    ref: str | None = Field(default=None, description="Git branch, tag or commit. Leave empty for the default branch.")
    path: str = Field(default="", description="Directory inside the source with the build context.")
    checksum: str | None = Field(default=None, description="Checksum of an archive, sha256:HEX; required for archives.")
    submodules: bool = Field(default=False, description="Fetch git submodules as well.")
    git_credentials: SecretPlace | None = Field(
        default=None, description="Place of the git server's username and password: vault:MOUNT/PATH."
    )

    def request_fields(self) -> dict[str, Any]:
        """The fields of a release request that this block sets."""
        return {
            "source": self.source,
            "checkout": {
                "ref": self.ref,
                "path": self.path,
                "checksum": self.checksum,
                "submodules": self.submodules,
                "credentials": self.git_credentials,
            },
        }

"""The section of a request on how the source is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prefect_slipway.blocks.fields import SecretPlace
from prefect_slipway.flows.request.model import Option, Request


class Fetching(Request, title="Checkout"):
    """How the source is fetched."""

    submodules: bool = Field(default=False, description="Fetch git submodules as well.")
    credentials: Annotated[SecretPlace | None, Option("git-credentials")] = Field(
        default=None,
        description="`vault:MOUNT/PATH` of the git server's username and password. Leave empty for anonymous access.",
    )
    ca: Annotated[str | None, Option("source-ca")] = Field(
        default=None,
        description="PEM file with the server's CA. Leave empty for the system's CAs, or a directory's git setting.",
    )


class Checkout(Fetching):
    """Which revision of the source to read, and how."""

    ref: str | None = Field(
        default=None,
        description="Git branch, tag or commit. Leave empty for a URL's default branch, or a directory as it is.",
    )
    branch: str | None = Field(
        default=None,
        description=(
            "Git branch that is released, if the source does not tell: a detached HEAD, or a `ref` that is a commit. "
            "Channels and maintenance branches go by it. Leave empty for a work tree's branch, or the `ref`."
        ),
    )
    path: str = Field(
        default="", description="Directory inside the source with the build context. Leave empty for the source itself."
    )
    checksum: str | None = Field(
        default=None,
        description="Checksum of an archive, `sha256:HEX`, which archives need. Leave empty for other sources.",
    )
    allow_dirty: bool = Field(default=False, description="Allow uncommitted changes in a git work tree.")

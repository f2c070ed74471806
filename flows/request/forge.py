"""The section of a request on the forge that shows the release."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from prefect_slipway.blocks.fields import ForgeUrl, TokenPlace
from prefect_slipway.flows.request.model import Option, Request

ForgeKind = Literal["github", "gitlab", "gitea"]


class ForgeChoice(Request, title="Forge"):
    """The repository whose page of releases shows this one."""

    token: Annotated[TokenPlace | None, Option("forge-token", "vault:MOUNT/PATH")] = Field(
        default=None,
        description=(
            "`vault:MOUNT/PATH` of a secret whose field `token` is the forge's; `#FIELD` behind it names another one. "
            "Leave empty for no release on a forge."
        ),
    )
    kind: Annotated[ForgeKind | None, Option("forge")] = Field(
        default=None,
        description="Kind of forge; `gitea` is Forgejo, too. Leave empty if the host's name or the API's path tells.",
    )
    url: Annotated[ForgeUrl | None, Option("forge-url", "URL")] = Field(
        default=None,
        description="URL of the forge's REST API. Leave empty for that of the source's host.",
    )
    repository: Annotated[str | None, Option("forge-repository", "OWNER/NAME")] = Field(
        default=None, description="Repository on the forge, with all groups. Leave empty for the source's."
    )
    ca: Annotated[str | None, Option("forge-ca", "FILE")] = Field(
        default=None, description="PEM file with the CA of the forge's certificate. Leave empty for the system's CAs."
    )

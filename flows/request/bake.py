"""The section of a request that describes several images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from prefect_slipway.flows.build_options.override import Override
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import ImageReference


class Bake(Request):
    """Several images of one source: the files that describe them, and what these may use."""

    files: Annotated[list[str], Option("file", "FILE", "f")] = Field(
        default_factory=list,
        description=(
            "Files, docker-bake.hcl, docker-bake.json or Compose, relative to the source; later ones override earlier "
            "ones. Leave empty for the usual file names."
        ),
    )
    targets: list[str] = Field(
        default_factory=list, description="Targets and groups to release. Leave empty for the group `default`."
    )
    variables: Annotated[dict[str, str], Option("var")] = Field(
        default_factory=dict,
        description="Values for the files' variables, never secrets. The environment is not read.",
    )
    overrides: Annotated[list[str], Option("set", "TARGET.KEY=VALUE")] = Field(
        default_factory=list,
        description=(
            "Fields of targets that replace those of the files, TARGET.KEY=VALUE, or TARGET.KEY+=VALUE to add to a "
            "list; TARGET may be a pattern such as *. Never secrets."
        ),
    )
    repository: str | None = Field(
        default=None,
        description=(
            "REGISTRY/PATH for all images, each under its own name. Leave empty for the place in a target's tags, or "
            "else SOURCE/TARGET in the embedded registry."
        ),
    )
    allow: Annotated[list[str], Option(metavar="PERMISSION")] = Field(
        default_factory=list,
        description=(
            "What the files may use outside the source: fs.read=PATH, env=NAME (as a secret), "
            "vault=MOUNT/PATH#FIELD (a secret; * matches anything), ssh, network.host, security.insecure."
        ),
    )
    parallel: int = Field(default=16, ge=1, description="Number of images to build at the same time. Default: 16.")

    @field_validator("overrides")
    @classmethod
    def _overrides_can_be_read(cls, values: list[str]) -> list[str]:
        for text in values:
            Override.read(text)
        return values

    @field_validator("repository")
    @classmethod
    def _repository_is_one(cls, value: str | None) -> str | None:
        if value is not None:
            reference = ImageReference.parse(f"{value}/image")
            if value.rstrip("/") != value or reference.tag or "@" in value:
                raise InvalidOption(f"{value!r} is not REGISTRY/PATH")
        return value

"""The section of a request on the registry cache, for builders that start without one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import ImageReference


class Cache(Request):
    """The build cache in a registry: imported by each build, exported when the release is public."""

    mode: Annotated[Literal["auto", "on", "off"], Option("cache")] = Field(
        default="auto",
        description=(
            "Build cache in the registry, imported before the build and exported after the release. Default: auto, "
            "which is on for a builder that is created for this release, unless the image has caches of its own."
        ),
    )
    repository: Annotated[str, Option("cache-repository")] = Field(
        default="",
        description=(
            "REGISTRY/REPOSITORY for the cache. Leave empty for the image's own repository, with tags that begin with "
            "`buildcache`."
        ),
    )
    timeout_s: Annotated[int, Option("cache-timeout-s")] = Field(
        default=300, gt=0, description="Seconds after which an export of the cache is given up. Default: 300."
    )

    @field_validator("repository")
    @classmethod
    def _repository_has_no_tag(cls, value: str) -> str:
        if value:
            reference = ImageReference.parse(value)
            if reference.tag or reference.digest:
                raise InvalidOption(
                    f"the cache repository {value!r} has a tag or digest, but Slipway chooses the tags",
                    action="use the repository alone",
                )
        return value

"""The section of a request on whether somebody must approve it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption


class Approval(Request):
    """Whether a release waits until somebody approves its plan."""

    required: Annotated[bool, Option("approval")] = Field(
        default=False,
        description="Show the plan and wait for an approval before anything is built or pushed.",
    )
    pull_request: Annotated[bool, Option("pull-request")] = Field(
        default=False,
        description=(
            "Release only a version whose release pull request is merged; open or update that pull request until then. "
            "Needs --forge-token and --bump auto."
        ),
    )
    version_files: Annotated[list[str], Option("version-file", "FILE")] = Field(
        default_factory=list,
        description="Files, relative to the build context, in which a release pull request writes the version.",
    )
    timeout_s: Annotated[int, Option("approval-timeout-s")] = Field(
        default=86_400,
        gt=0,
        description="Seconds to wait for an approval before the release fails. Default: 86400, one day.",
    )

    @field_validator("version_files")
    @classmethod
    def _files_are_inside(cls, values: list[str]) -> list[str]:
        for value in values:
            if value.startswith("/") or {"", ".", "..", ".git"} & set(value.split("/")) or not value.isprintable():
                raise InvalidOption(
                    f"the version file {value!r} is not a path in the source",
                    action="use a path relative to the build context, e.g. package.json",
                )
        return values

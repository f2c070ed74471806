"""A part of a monorepo with a version of its own: what the release file says of it, and which of them to release."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption


class ComponentChoice(Request, title="Components"):
    """Which parts of the source are released."""

    names: Annotated[list[str], Option("component", "NAME")] = Field(
        default_factory=list,
        description=(
            "Components of the release file to release, with those they depend on, as far as they changed. Leave empty "
            "for all that changed."
        ),
    )
    all: bool = Field(default=False, description="Release components that have not changed, too.")
    at_once: Annotated[int, Option(metavar="NUMBER")] = Field(
        default=4, ge=1, description="Number of components to release at the same time. Default: 4."
    )


class Component(Request):
    """What a component's table says besides the keys of a release."""

    path: str | None = Field(
        default=None, description="Directory, relative to the release file. Default: the component's name."
    )
    context: str | None = Field(
        default=None, description="Build context, relative to the release file. Default: the component's path."
    )
    depends_on: list[str] = Field(
        default_factory=list,
        description=(
            "Components that are released before it, and further files and directories that it is built from, relative "
            "to the release file; `*`, `**` and `?` match names."
        ),
    )
    tag_prefix: str | None = Field(
        default=None, description="Prefix of the git tags with its versions. Default: the component's name, then /v."
    )

    @field_validator("path", "context")
    @classmethod
    def _is_inside(cls, value: str | None) -> str | None:
        return value if value is None else _inside(value)

    @field_validator("depends_on")
    @classmethod
    def _each_is_inside(cls, values: list[str]) -> list[str]:
        return [_inside(value) for value in values]


def _inside(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith(("/", "!")) or ".." in parts or "\0" in path:
        raise InvalidOption(f"{path!r} is not a path below the release file", action="use a path such as services/api")
    return "/".join(parts)

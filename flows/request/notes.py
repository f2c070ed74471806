"""The section of a request on release notes."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator

from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption


class Notes(Request):
    """What is new, from the commits since the last version."""

    mode: Annotated[Literal["on", "off"], Option("notes")] = Field(
        default="on", description="Release notes from the commits since the last version. Default: on."
    )
    sections: Annotated[dict[str, str], Option("notes-section")] = Field(
        default_factory=dict,
        description=(
            "Commit types to show, each with the title of its section, in this order, such as `feat=Features`. Leave "
            "empty for feat, fix, perf and revert."
        ),
    )
    only_typed: Annotated[bool, Option("notes-only-typed")] = Field(
        default=False, description="Leave out commits without a type."
    )
    template: Annotated[str | None, Option("notes-template", "FILE")] = Field(
        default=None,
        description=(
            "Template in Jinja's syntax, relative to the build context, for notes of your own form. Leave empty for "
            "the usual form."
        ),
    )
    attach: Annotated[Literal["auto", "on", "off"], Option("notes-attach")] = Field(
        default="auto",
        description=(
            "Attach the notes to the image, as an OCI referrer. Default: auto, which leaves it out where the registry "
            "would need one more tag for it."
        ),
    )
    changelog: Annotated[str | None, Option("notes-changelog", "FILE")] = Field(
        default=None,
        description=(
            "Changelog to add the notes to, relative to the build context, such as `CHANGELOG.md`: a commit on the "
            "branch, pushed with the git tag. Leave empty for none."
        ),
    )

    @field_validator("changelog")
    @classmethod
    def _changelog_is_inside(cls, value: str | None) -> str | None:
        if value is not None:
            path = PurePosixPath(value)
            if path.is_absolute() or not {"..", ".git"}.isdisjoint(path.parts) or path.suffix != ".md":
                raise InvalidOption(
                    f"the changelog {value!r} is not a Markdown file in the source",
                    action="use a path relative to the build context, e.g. CHANGELOG.md",
                )
        return value

    @field_validator("sections")
    @classmethod
    def _titles_are_short(cls, values: dict[str, str]) -> dict[str, str]:
        for kind, title in values.items():
            if not kind or not title.strip() or "\n" in title or len(title) > 100:
                raise InvalidOption(
                    f"the section of the notes {kind!r} has no title of one line, or a long one",
                    action="use TYPE=TITLE, e.g. feat=Features",
                )
        return values

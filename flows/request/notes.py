"""The section of a request on release notes."""

from __future__ import annotations

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

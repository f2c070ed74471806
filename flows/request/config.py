"""The section of a request on the release file in the source."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.naming import RELEASE_FILE

NO_FILE = "-"


class Config(Request):
    """Which release file counts, and for how much: whoever can push to the source can change it."""

    file: Annotated[str, Option("config", "FILE")] = Field(
        default=RELEASE_FILE,
        description=(
            "Release file, relative to the build context; use `-` to ignore it. Default: slipway.toml, if it exists."
        ),
    )
    allow: Annotated[list[str], Option("config-allow", "KEY[=PATTERN]")] = Field(
        default_factory=list,
        description=(
            "What the release file may choose outside the source, e.g. `image=registry.example/team/*`, "
            "`credentials.registries=vault:secret/team/*`, `trust.sign` or `builder`. Leave empty for nothing."
        ),
    )

    @field_validator("allow")
    @classmethod
    def _each_names_a_key(cls, values: list[str]) -> list[str]:
        for value in values:
            if not value.partition("=")[0].replace(".", "").replace("_", "").isalnum():
                raise InvalidOption(
                    f"--config-allow {value!r} does not name a key of the release file",
                    action="use KEY or KEY=PATTERN, e.g. image=registry.example/team/*",
                )
        return values

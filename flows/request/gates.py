"""The section of a request on gates: what an image must pass before it gets its tag."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption

SOURCE = "source:"
BLOCK = "block:"
DEPLOYMENT = "deployment:"
POLICY = "policy:"

_NAME = r"[A-Za-z0-9][\w./-]{0,99}"
_NAMED = re.compile(rf"(?P<name>{_NAME}):\s+(?P<what>\S.*)", re.DOTALL)
_ACTION = "write 'NAME: COMMAND …', deployment:FLOW/NAME or policy:FILE.rego"


@dataclass(frozen=True, slots=True)
class Gate:
    """`what`: a command line, a deployment's FLOW/NAME, or the place of a policy."""

    name: str
    kind: Literal["command", "deployment", "policy"]
    what: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidOption."""
        match = _NAMED.fullmatch(text.strip())
        name, what = (match["name"], match["what"]) if match is not None else ("", text.strip())
        if what.startswith(DEPLOYMENT):
            deployment = what.removeprefix(DEPLOYMENT)
            if not all(deployment.partition("/")):
                raise InvalidOption(f"--gate {text!r} does not name a deployment", action="write deployment:FLOW/NAME")
            return cls(name or deployment, "deployment", deployment)
        if what.startswith(POLICY):
            place = check_place("--gate", what.removeprefix(POLICY), suffix=".rego")
            return cls(name or PurePath(place.rpartition(":")[2]).stem, "policy", place)
        if not name:
            raise InvalidOption(f"--gate {text!r} has no name", action=_ACTION)
        try:
            words = shlex.split(what)
        except ValueError as error:
            raise InvalidOption(f"--gate {text!r}: {error}", action="quote it as in a shell") from None
        if not words:
            raise InvalidOption(f"--gate {text!r} has no command", action=_ACTION)
        return cls(name, "command", what)

    @property
    def shown(self) -> str:
        """For people: `scan (command)`."""
        return f"{self.name} ({self.kind})"


class Gates(Request):
    """What checks the image before it has a tag. A gate that fails ends the release."""

    run: Annotated[list[str], Option("gate", "GATE")] = Field(
        default_factory=list,
        description=(
            "Gates that check the image by digest before it gets its tag: 'NAME: COMMAND …', deployment:FLOW/NAME or "
            "policy:FILE.rego. They run at the same time. Leave empty for none."
        ),
    )
    timeout_s: Annotated[int, Option("gate-timeout-s")] = Field(
        default=600, gt=0, description="Seconds that each gate may take. Default: 600."
    )
    waivers: str | None = Field(
        default=None,
        description=(
            "Findings of gates that may pass: source:FILE.toml in the source, block:NAME, or a file of this machine. "
            "Leave empty for none."
        ),
    )

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        names = [gate.name for gate in self.asked]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidOption(f"several gates have the name {twice[0]!r}", action="give each its own: 'NAME: …'")
        if self.waivers is not None:
            check_place("--waivers", self.waivers, suffix=".toml")
        return self

    @property
    def asked(self) -> tuple[Gate, ...]:
        return tuple(map(Gate.parse, self.run))


def check_place(option: str, place: str, *, suffix: str) -> str:
    """The place of a file: `source:PATH`, `block:NAME`, or an absolute path. Raises InvalidOption."""
    if place.startswith(BLOCK) and place != BLOCK:
        return place
    if not place.endswith(suffix):
        raise InvalidOption(f"{option}: {place!r} is not the name of a {suffix} file", action=f"write FILE{suffix}")
    if not place.startswith(SOURCE) and not PurePath(place).is_absolute():
        raise InvalidOption(
            f"{option}: {place!r} is a relative path",
            action=f"write an absolute one, or {SOURCE}{place} for the source",
        )
    return place

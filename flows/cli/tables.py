"""Tables that a person types: NAME:KEY=VALUE,…"""

from __future__ import annotations

from typing import Any

from prefect_slipway.infra.domain.errors import InvalidOption


def typed_table(option: str, text: str) -> tuple[str, dict[str, Any]]:
    """The name, and the fields of the model. `option`, and an example after it: for the error. Raises InvalidOption."""
    name, _, rest = text.partition(":")
    values: dict[str, Any] = {}
    for part in rest.split(","):
        key, equals, value = part.partition("=")
        if not (name and equals and key):
            option, _, example = option.partition(" ")
            raise InvalidOption(f"{option} {text!r} is not NAME:KEY=VALUE,…", action=f"as in {example}")
        values[key] = value
    return name, values


def git_target(values: dict[str, Any]) -> dict[str, Any]:
    """A place in git: `git` is its repository, `values.PATH=PART` are those of a chart."""
    target = {"repository" if key == "git" else key: value for key, value in values.items()}
    chart = {key.removeprefix("values."): target.pop(key) for key in list(target) if key.startswith("values.")}
    return target | ({"values": chart} if chart else {})

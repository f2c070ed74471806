"""Strings with `${…}` in docker-bake.json, which is HCL's JSON form: its strings are HCL templates.

Syntax: "Templates" in spec.md and json/spec.md (hashicorp/hcl); directives (`%{if …}`) are refused.
"""

from __future__ import annotations

import re
from typing import Any

from prefect_slipway.flows.bake.expression import CONVERT, Lookup, joined, parse
from prefect_slipway.infra.domain.errors import InvalidOption

_PART = re.compile(r"(?P<escape>\$\$\{|%%\{)|(?P<open>\$\{)|(?P<directive>%\{)")
_END = re.compile(r"\s*\}")


def evaluate(where: str, value: Any, lookup: Lookup) -> Any:
    """`value` with every template in it replaced. `lookup` gives a name's value. Raises InvalidOption."""
    if isinstance(value, str):
        return _template(where, value, lookup)
    if isinstance(value, list):
        return [evaluate(where, item, lookup) for item in value]
    if isinstance(value, dict):
        return {str(_template(where, key, lookup)): evaluate(where, item, lookup) for key, item in value.items()}
    return value


def _template(where: str, text: str, lookup: Lookup) -> Any:
    parts: list[Any] = []
    position = 0
    while (match := _PART.search(text, position)) is not None:
        if match.start() > position:
            parts.append(text[position : match.start()])
        if match["directive"]:
            raise InvalidOption(f"{where}: {text!r} has an HCL directive, which is not supported", action=CONVERT)
        if match["escape"]:
            parts.append(match[0][1:])
            position = match.end()
            continue
        expression, position = parse(where, text, match.end())
        end = _END.match(text, position)
        if end is None:
            raise InvalidOption(f"{where}: {text!r} has a `${{` that is not closed", action=CONVERT)
        value, position = expression(lookup), end.end()
        if match.start() == 0 and position == len(text):
            # Only an expression: its value as it is, also a list or a boolean.
            return value
        parts.append(value)
    return joined(where, [*parts, text[position:]])

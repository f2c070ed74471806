"""Strings with `${…}` in docker-bake.json, which is HCL's JSON form: its strings are HCL templates.

Names, attributes and indexes are evaluated; what needs HCL's operators or functions is refused.
Syntax: "Expressions" and "Templates" in spec.md and json/spec.md (hashicorp/hcl).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flows.bake.bounds import made
from flows.domain.errors import InvalidOption

_PART = re.compile(r"(?P<escape>\$\$\{|%%\{)|(?P<open>\$\{)|(?P<directive>%\{)")
_NAME = re.compile(r"\s*([A-Za-z_][\w-]*)(?!\s*[\w(-])")
_ACCESS = re.compile(r"\s*(?:\.([A-Za-z_][\w-]*|\d+)|\[\s*(?:\"([^\"\\$]*)\"|(\d+))\s*\])")
_END = re.compile(r"\s*\}")

CONVERT = "write plain values, or let `docker buildx bake --print > docker-bake.json` work them out"

Lookup = Callable[[str], Any]


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
            raise _unreadable(where, text)
        if match["escape"]:
            parts.append(match[0][1:])
            position = match.end()
        else:
            value, position = _expression(where, text, match.end(), lookup)
            if match.start() == 0 and position == len(text):
                # Nothing but the expression: its value as it is, a list or a truth value too.
                return value
            parts.append(value)
    parts.append(text[position:])
    return made(where, "".join(_as_text(where, part) for part in parts))


def _expression(where: str, text: str, position: int, lookup: Lookup) -> tuple[Any, int]:
    name = _NAME.match(text, position)
    if name is None:
        raise _unreadable(where, text)
    value, position = lookup(name[1]), name.end()
    while access := _ACCESS.match(text, position):
        key = next(group for group in access.groups() if group is not None)
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (LookupError, TypeError, ValueError):
            raise InvalidOption(f"{where}: {name[1]} has no {key!r}, which {text!r} asks for") from None
        position = access.end()
    end = _END.match(text, position)
    if end is None:
        raise _unreadable(where, text)
    return value, end.end()


def _as_text(where: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidOption(f"{where}: a list, an object or null cannot be part of a text")


def _unreadable(where: str, text: str) -> InvalidOption:
    return InvalidOption(f"{where}: {text!r} needs HCL's functions or operators, which are not read", action=CONVERT)

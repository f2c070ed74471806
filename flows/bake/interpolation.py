"""`${VARIABLE}` in Compose files and .env files.

Syntax: "Interpolation" of the Compose specification (12-interpolation.md): `$V`, `${V}`, `${V:-default}`,
`${V-default}`, `${V:?error}`, `${V?error}`, `${V:+instead}`, `${V+instead}`, `$$` for a dollar; they may be nested. A
dollar before anything else is a dollar (template/template.go in compose-spec/compose-go).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from prefect_slipway.flows.bake.bounds import MOST_LEVELS, made, too_deep
from prefect_slipway.infra.domain.errors import InvalidOption

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")

Lookup = Callable[[str], str | None]


def interpolate(where: str, value: Any, lookup: Lookup, unset: set[str]) -> Any:
    """`value` with the variables in all its texts replaced; those without a value are empty and noted in `unset`.

    Raises InvalidOption for a `${V:?…}` without a value and for what is not of the syntax.
    """
    if isinstance(value, str):
        return made(where, _Text(where, value, lookup, unset).read())
    if isinstance(value, list):
        return [interpolate(where, item, lookup, unset) for item in value]
    if isinstance(value, dict):
        return {key: interpolate(where, item, lookup, unset) for key, item in value.items()}
    return value


class _Text:
    """Reads one text from left to right."""

    def __init__(self, where: str, text: str, lookup: Lookup, unset: set[str]) -> None:
        self._where = where
        self._text = text
        self._lookup = lookup
        self._unset = unset
        self._at = 0

    def read(self, nested: int = 0) -> str:
        """To the end, or if `nested`, so many deep, to the brace that closes it."""
        if nested > MOST_LEVELS:
            raise too_deep(f"{self._where}: a variable")
        out: list[str] = []
        open_braces = 0
        while self._at < len(self._text):
            character = self._text[self._at]
            if nested and character == "}" and not open_braces:
                return "".join(out)
            open_braces += (character == "{") - (character == "}") if nested else 0
            self._at += 1
            out.append(self._variable(nested) if character == "$" else character)
        if nested:
            raise self._wrong()
        return "".join(out)

    def _variable(self, nested: int) -> str:
        if self._text.startswith("$", self._at):
            self._at += 1
            return "$"
        braced = self._text.startswith("{", self._at)
        self._at += braced
        name = _NAME.match(self._text, self._at)
        if name is None:
            if not braced:
                return "$"
            raise self._wrong()
        self._at = name.end()
        return self._braced(name[0], nested) if braced else self._value(name[0])

    def _braced(self, name: str, nested: int) -> str:
        operator = _OPERATOR.match(self._text, self._at)
        rest, missing = "", set[str]()
        if operator is not None:
            self._at = operator.end()
            # Unused parts may have variables without values.
            outer, self._unset = self._unset, missing
            rest = self.read(nested + 1)
            self._unset = outer
        if not self._text.startswith("}", self._at):
            raise self._wrong()
        self._at += 1
        if operator is None:
            return self._value(name)
        value = self._lookup(name)
        there = bool(value) if operator[0].startswith(":") else value is not None
        kind = operator[0][-1]
        if kind == "+":
            used = there
        elif there:
            return value or ""
        elif kind == "?":
            raise InvalidOption(
                f"{self._where}: the variable {name} has no value: {rest or 'it is required'}",
                action=f"set it with --var {name}=VALUE, or in .env",
            )
        else:
            used = True
        if used:
            self._unset |= missing
        return rest if used else ""

    def _value(self, name: str) -> str:
        value = self._lookup(name)
        if value is None:
            self._unset.add(name)
        return value or ""

    def _wrong(self) -> InvalidOption:
        return InvalidOption(
            f"{self._where}: {self._text!r} has a `${{` that does not start a variable",
            action="write $${ for a literal ${",
        )

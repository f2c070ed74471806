"""The types of a bake file's variables: read from `type`, and applied to values.

Grammar: ext/typeexpr (hashicorp/hcl); conversion: cty/convert (zclconf/go-cty).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from types import MappingProxyType
from typing import Any, NamedTuple

from prefect_slipway.flows.bake.fields import text
from prefect_slipway.flows.bake.functions import as_set
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean

_TOKEN = re.compile(r"\s+|(?:#|//)[^\n]*|([A-Za-z_][\w-]*|[][(){},=:])")
_PLAIN = {"any", "bool", "number", "string"}
_COLLECTIONS = {"list", "set", "map"}
_DEEPEST = 20


class Type(NamedTuple):
    """`inner`: of a list's, set's or map's items; a tuple's, one after the other. `fields`: an object's. `optional`: a
    field that may be missing."""

    kind: str
    inner: tuple[Type, ...] = ()
    fields: Mapping[str, Type] = MappingProxyType({})
    optional: bool = False

    @classmethod
    def read(cls, where: str, source: str) -> Type:
        """Raises InvalidOption."""
        return _Reader(where, source).whole()

    @property
    def takes_lists(self) -> bool:
        """Whether a value that is given as text is divided by commas."""
        return self.kind in {"list", "set", "tuple"}

    def __str__(self) -> str:
        """As go-cty calls it for people."""
        return f"{self.kind} of {self.inner[0]}" if self.kind in _COLLECTIONS else self.kind

    def of(self, name: str, value: Any) -> Any:
        """The value as one of this type. Raises InvalidOption where it cannot be one."""
        if value is None or self.kind == "any":
            return value
        match self.kind, value:
            case "list" | "set", list():
                items = [self.inner[0].of(name, item) for item in value]
                return items if self.kind == "list" else as_set(items)
            case "tuple", list() if len(value) == len(self.inner):
                return [kind.of(name, item) for kind, item in zip(self.inner, value, strict=True)]
            case "map", dict():
                return {key: self.inner[0].of(name, item) for key, item in value.items()}
            case "object", dict() if all(key in value or kind.optional for key, kind in self.fields.items()):
                return {key: kind.of(name, value.get(key)) for key, kind in self.fields.items()}
            case "string", str() | bool() | int() | Decimal():
                return text(f"the variable {name}", value)
            case "number", str() | int() | Decimal() if not isinstance(value, bool):
                return number(name, value)
            case "bool", bool() | str():
                return boolean(f"the variable {name}", value) if isinstance(value, str) else value
        article = "an" if self.kind == "object" else "a"
        raise InvalidOption(f"the variable {name} is {article} {self}, not {value!r}")


def number(name: str, value: Any) -> Decimal:
    """The number of a variable. Raises InvalidOption."""
    try:
        found = Decimal(value)
        if found.is_finite():
            return found
    except DecimalException:
        pass
    raise InvalidOption(f"the variable {name} is a number, not {value!r}")


class _Reader:
    def __init__(self, where: str, source: str) -> None:
        self._where = where
        self._source = " ".join(source.split())
        self._depth = 0
        self._tokens: list[str] = []
        at = 0
        while at < len(source):
            if (match := _TOKEN.match(source, at)) is None:
                raise self._unknown()
            self._tokens += [match[1]] if match[1] else []
            at = match.end()
        self._tokens.reverse()

    def whole(self) -> Type:
        found = self._type()
        if self._tokens:
            raise self._unknown()
        return found

    def _type(self) -> Type:
        self._depth += 1
        kind = self._next()
        if self._depth > _DEEPEST:
            raise self._unknown()
        found = Type(kind)
        if kind in _COLLECTIONS:
            self._need("(")
            found = Type(kind, (self._type(),))
            self._need(")")
        elif kind == "tuple":
            found = Type(kind, tuple(self._tuple()))
        elif kind == "object":
            found = Type(kind, fields=self._object())
        elif kind not in _PLAIN:
            raise self._unknown()
        self._depth -= 1
        return found

    def _tuple(self) -> list[Type]:
        self._need("(", "[")
        found: list[Type] = []
        while not self._take("]"):
            found.append(self._type())
            if not self._take(","):
                self._need("]")
                break
        self._need(")")
        return found

    def _object(self) -> dict[str, Type]:
        self._need("(", "{")
        found: dict[str, Type] = {}
        while not self._take("}"):
            name = self._next()
            if not self._take(":"):
                self._need("=")
            optional = self._take("optional")
            if optional:
                self._need("(")
            found[name] = self._type()._replace(optional=optional)
            if optional:
                self._need(")")
            self._take(",")
        self._need(")")
        return found

    def _next(self) -> str:
        if not self._tokens:
            raise self._unknown()
        return self._tokens.pop()

    def _take(self, token: str) -> bool:
        if self._tokens and self._tokens[-1] == token:
            self._tokens.pop()
            return True
        return False

    def _need(self, *tokens: str) -> None:
        if not all(self._take(token) for token in tokens):
            raise self._unknown()

    def _unknown(self) -> InvalidOption:
        return InvalidOption(
            f"{self._where}: the type {self._source} is not supported",
            action=(
                "use string, number, bool, any, or list(…), set(…), map(…), tuple([…]), object({NAME=…}) of such types"
            ),
        )

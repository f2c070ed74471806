"""What names stand for in bake files: variables, functions, and the fields of targets and groups.

Semantics: bake/hclparser (docker/buildx).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any, NamedTuple

from prefect_slipway.flows.bake.bounds import MOST_LEVELS, spent, too_deep
from prefect_slipway.flows.bake.expression import CONVERT, NAME, Lookup
from prefect_slipway.flows.bake.fields import FIELDS, text
from prefect_slipway.flows.bake.functions import FUNCTIONS
from prefect_slipway.flows.bake.hcl import Repeated
from prefect_slipway.flows.bake.template import Attribute, evaluate
from prefect_slipway.flows.bake.types import Type, number
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean, csv_fields

_MOST_COMBINATIONS = 1000
_OF_ONE = 128
"""What it costs to compute one of a file's names, in characters (bounds.py): a hundred thousand take a second."""
_BLOCKS = {"group", "target", "variable", "function"}
# The directory of the build and the place of a remote definition: here both are the source's directory.
_BUILT_IN = {"BAKE_CMD_CONTEXT": "cwd://"}


class Variable(NamedTuple):
    """A variable of a file, as it is shown: `value` as text or JSON, None for null."""

    name: str
    type: str
    value: str | None
    description: str


class Scope:
    """The variables of all files, computed at first use."""

    def __init__(self, documents: Sequence[tuple[str, dict[str, Any]]], given: Mapping[str, str]) -> None:
        self._given = given
        self._defaults: dict[str, Any] = {}
        self._busy: list[str] = []
        self._known: dict[str, Any] = {}
        self._rules: list[tuple[str, dict[str, Any]]] = []
        self._types: dict[str, Type] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._documents = documents
        self.descriptions: dict[str, Any] = {}
        for name, document in documents:
            for function, body in blocks(name, document, "function"):
                self._functions[f"{function}()"] = self._function(f"{name}: function {function}", body)
            for variable, body in blocks(name, document, "variable"):
                # Of a type it is null without a value.
                self._defaults[variable] = body.get("default", None if "type" in body else "")
                self.descriptions[variable] = body.get("description") or self.descriptions.get(variable, "")
                where = f"{name}: the variable {variable}"
                if "type" in body:
                    kind = body["type"]
                    self._types[variable] = Type.read(where, kind.source if isinstance(kind, Attribute) else str(kind))
                self._rules += [(where, rule) for rule in _objects(f"{where}: validation", body.get("validation"))]
            plain = {key: value for key, value in document.items() if key not in _BLOCKS and key != "//"}
            self._defaults.update(plain)

    def check(self) -> None:
        """Check all variables by their validations. Raises InvalidOption."""
        for where, rule in self._rules:
            if "condition" not in rule:
                raise InvalidOption(f"{where}: a validation needs a condition")
            holds = evaluate(f"{where}: condition", rule["condition"], self)
            if holds in (False, "false"):
                message = evaluate(f"{where}: error_message", rule.get("error_message", "no reason given"), self)
                raise InvalidOption(
                    f"{where} has a value that is not allowed: {message}", action="set it to an allowed value"
                )
            if holds not in (True, "true"):
                raise InvalidOption(f"{where}: its condition evaluates to {holds!r}, not to true or false")

    def __call__(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name.endswith("()"):
            if name not in self._functions:
                raise InvalidOption(f"there is no function {name}", action=f"define it; or {CONVERT}")
            return self._functions[name]
        if name not in self._defaults:
            if name in _BUILT_IN:
                return _BUILT_IN[name]
            if name in {"target", "group"}:
                return self._blocks(name)
            raise InvalidOption(f"there is no variable {name}", action=f"define it; or {CONVERT}")
        default = self.once(name, self._defaults[name], self)
        kind = self._types.get(name)
        value = default
        if kind is not None and f"{name}_JSON" in self._given and f"{name}_JSON" not in self.descriptions:
            value = _json(name, self._given[f"{name}_JSON"])
        elif name in self._given and name in self.descriptions:
            value = _given(name, self._given[name], default, kind)
        if kind is not None:
            value = kind.of(name, value)
        self._known[name] = value
        return value

    def variable(self, name: str) -> Variable:
        """A variable, with its value."""
        value = self(name)
        shown = value if isinstance(value, str | None) else FUNCTIONS["jsonencode"](value)
        described = text(f"the variable {name}: description", evaluate(name, self.descriptions[name], self))
        return Variable(name, str(self._types.get(name, "")), shown, described)

    def _blocks(self, kind: str) -> Mapping[str, Any]:
        """The blocks of all files by name, those of a matrix each by its own."""
        found: dict[str, _Block] = {}
        self._known[kind] = found
        for file, document in self._documents:
            for block, body in blocks(file, document, kind):
                for name, lookup in named_targets(f"{file}: {kind} {block}", block, body, self):
                    found.setdefault(name, _Block(self, f"{kind}.{name}", name)).add(body, lookup)
        return found

    def once(self, what: str, value: Any, lookup: Lookup) -> Any:
        """Compute something that nothing it depends on may need. It counts even if it makes nothing: functions and
        fields that use others twice are computed exponentially often."""
        spent(what, _OF_ONE)
        if what in self._busy:
            raise InvalidOption(f"the variable {what} depends on itself")
        if len(self._busy) > MOST_LEVELS:
            raise too_deep(f"the variable {what}")
        self._busy.append(what)
        try:
            return evaluate(f"variable {what}", value, lookup)
        finally:
            self._busy.pop()

    def _function(self, where: str, body: Mapping[str, Any]) -> Callable[..., Any]:
        """A function of the file; its result knows its parameters and the variables."""
        for field in ("result", "params"):
            if field not in body:
                raise InvalidOption(f"{where} has no {field}")
        names = _names(body["params"])
        variadic = _names(body["variadic_params"])[0] if "variadic_params" in body else None

        def call(*values: Any) -> Any:
            if len(values) < len(names) or (len(values) > len(names) and variadic is None):
                raise TypeError
            known = dict(zip(names, values, strict=False))
            if variadic is not None:
                known[variadic] = list(values[len(names) :])
            return self.once(where, body["result"], lambda name: known[name] if name in known else self(name))

        return call


class _Block(Mapping[str, Any]):
    """`target.NAME` in an expression: its fields, computed when they are asked for; null where it has none."""

    def __init__(self, scope: Scope, where: str, name: str) -> None:
        self._scope = scope
        self._where = where
        self._fields: dict[str, tuple[Any, Lookup]] = {"name": (name, scope)}

    def add(self, body: Mapping[str, Any], lookup: Lookup) -> None:
        self._fields |= {key: (value, lookup) for key, value in body.items() if key not in {"matrix", "name"}}

    def __getitem__(self, field: str) -> Any:
        if field not in self._fields and field in FIELDS:
            return None
        value, lookup = self._fields[field]
        return self._scope.once(f"{self._where}.{field}", value, lookup)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def named_targets(where: str, block: str, body: Mapping[str, Any], scope: Scope) -> Iterator[tuple[str, Lookup]]:
    """The names of a block's targets, each with what names stand for in it: one for each combination of its matrix,
    named by the template `name`, else one as the `block` is named. Raises InvalidOption."""
    if "matrix" not in body:
        if "name" in body:
            raise InvalidOption(f"{where}: `name` needs a matrix", action="remove it")
        yield block, scope
        return
    axes = evaluate(where, body["matrix"], scope)
    if not isinstance(axes, dict) or not all(isinstance(values, list) for values in axes.values()):
        raise InvalidOption(f"{where}: a matrix must be an object of lists")
    if math.prod(map(len, axes.values())) > _MOST_COMBINATIONS:
        raise InvalidOption(f"{where}: the matrix has more than {_MOST_COMBINATIONS} combinations")
    seen = set()
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))

        def lookup(name: str, values: dict[str, Any] = values) -> Any:
            return values[name] if name in values else scope(name)

        name = text(f"{where}: name", evaluate(f"{where}: name", body.get("name", block), lookup))
        if name in seen:
            raise InvalidOption(
                f"{where}: two combinations of the matrix have the name {name!r}",
                action="set `name` to a template that uses the matrix's values",
            )
        seen.add(name)
        yield name, lookup


def _names(value: Any) -> list[str]:
    """Of parameters: names, not values."""
    if isinstance(value, Attribute):
        return NAME.findall(value.source)
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _json(name: str, value: str) -> Any:
    try:
        return json.loads(value, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, DecimalException, RecursionError) as error:
        raise InvalidOption(f"the value of {name}_JSON is not JSON", action=f"set {name} instead") from error


def _given(name: str, value: str, default: Any, kind: Type | None) -> Any:
    """A value that was given as text, of its type, or its default's; of a list divided by commas, as buildx has it."""
    if kind is not None:
        return csv_fields(f"the variable {name}", value) if kind.takes_lists else value
    if isinstance(default, bool):
        return boolean(f"the variable {name}", value)
    if isinstance(default, int | Decimal):
        return number(name, value)
    if isinstance(default, list | dict):
        raise InvalidOption(f"the variable {name} is not a string, so it can only be changed in the file")
    return value


def blocks(file: str, document: Mapping[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The blocks of a kind by their names: objects, or lists of objects at each level."""
    found = []
    for level in _objects(f"{file}: {kind}", document.get(kind)):
        for name, value in level.items():
            if name == "//":
                continue
            for body in _objects(f"{file}: {kind} {name}", value):
                for key, item in body.items():
                    if isinstance(item, Repeated) and key != "validation":
                        raise InvalidOption(f"{file}: {kind} {name}: the field {key!r} appears twice")
                found.append((name, {key: item for key, item in body.items() if key != "//"}))
    return found


def _objects(where: str, value: Any) -> list[dict[str, Any]]:
    objects = value if isinstance(value, list) else [] if value is None else [value]
    if isinstance(value, Repeated):
        objects = [each for one in value for each in (one if isinstance(one, list) else [one])]
    if not all(isinstance(one, dict) for one in objects):
        raise InvalidOption(f"{where} must be an object")
    return objects

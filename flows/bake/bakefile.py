"""docker-bake.json and docker-bake.hcl: groups, targets, variables, functions and matrices.

Semantics: docs/bake-reference.md and bake/hclparser (docker/buildx). JSON is HCL's other form, where a block may be
written as an object or as a list of objects (json/spec.md in hashicorp/hcl).
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any, NamedTuple

from prefect_slipway.flows.bake.bounds import MOST_LEVELS, check_document, too_deep
from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.expression import CONVERT, NAME, Lookup
from prefect_slipway.flows.bake.fields import Fields, merge, read_fields, text, texts
from prefect_slipway.flows.bake.functions import FUNCTIONS
from prefect_slipway.flows.bake.hcl import Repeated, parse_hcl
from prefect_slipway.flows.bake.template import Attribute, evaluate
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean, csv_fields

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_MOST_COMBINATIONS = 1000
_BLOCKS = {"group", "target", "variable", "function"}
_LONGEST_NUMBER = 1000
# The directory of the build and the place of a remote definition: here both are the source's directory.
_BUILT_IN = {"BAKE_CMD_CONTEXT": "cwd://"}


def read_bake_files(files: Sequence[tuple[str, str]], variables: Mapping[str, str]) -> Definition:
    """All files (name and text each) as one definition: they share their variables, and later files override earlier
    ones.

    `variables`: values that replace the variables' defaults. Raises InvalidOption.
    """
    documents = [(name, _parse(name, text)) for name, text in files]
    scope = _Scope(documents, variables)
    scope.check()
    whole = Definition()
    for name, document in documents:
        whole = _definition(name, document, scope).over(whole)
    return whole


class Variable(NamedTuple):
    """A variable of a file, as it is shown: `value` as text or JSON, None for null."""

    name: str
    type: str
    value: str | None
    description: str


def known_variables(files: Sequence[tuple[str, str]], given: Mapping[str, str]) -> list[Variable]:
    """The variables of all files, by name; as `read_bake_files`."""
    scope = _Scope([(name, _parse(name, text)) for name, text in files], given)
    scope.check()
    return [scope.variable(name) for name in sorted(scope.descriptions)]


def _parse(name: str, text: str) -> dict[str, Any]:
    if name.endswith(".hcl"):
        found = parse_hcl(name, text)
        check_document(name, found)
        return found
    try:
        document = json.loads(text, parse_float=Decimal, parse_int=_whole, object_pairs_hook=_object)
    except RecursionError:
        raise too_deep(name) from None
    except (ValueError, DecimalException) as error:
        raise InvalidOption(f"{name} is not JSON: {error}") from error
    check_document(name, document)
    if not isinstance(document, dict):
        raise InvalidOption(f"{name} is not a bake file: it does not contain an object")
    return document


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key not in found:
            found[key] = value
        elif isinstance(found[key], Repeated):
            found[key].append(value)
        else:
            found[key] = Repeated([found[key], value])
    return found


class _Scope:
    """The variables of all files, computed at first use."""

    def __init__(self, documents: Sequence[tuple[str, dict[str, Any]]], given: Mapping[str, str]) -> None:
        self._given = given
        self._defaults: dict[str, Any] = {}
        self._busy: list[str] = []
        self._known: dict[str, Any] = {}
        self._rules: list[tuple[str, dict[str, Any]]] = []
        self._types: dict[str, str] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._blocks: dict[str, dict[str, dict[str, Any]]] = {"target": {}, "group": {}}
        self.descriptions: dict[str, Any] = {}
        for name, document in documents:
            for function, body in _blocks(name, document, "function"):
                self._functions[f"{function}()"] = self._function(f"{name}: function {function}", body)
            for kind, known in self._blocks.items():
                for block, body in _blocks(name, document, kind):
                    known[block] = {**known.get(block, {}), **body}
            for variable, body in _blocks(name, document, "variable"):
                # Of a type it is null without a value.
                self._defaults[variable] = body.get("default", None if "type" in body else "")
                self.descriptions[variable] = body.get("description") or self.descriptions.get(variable, "")
                where = f"{name}: the variable {variable}"
                if "type" in body:
                    self._types[variable] = _type_of(where, body["type"])
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
            if name in self._blocks:
                return {block: _Block(self, f"{name}.{block}", body) for block, body in self._blocks[name].items()}
            raise InvalidOption(f"there is no variable {name}", action=f"define it; or {CONVERT}")
        default = self.once(name, self._defaults[name], self)
        kind = self._types.get(name)
        value = _given(name, self._given[name], default, kind) if name in self._given else default
        if kind is not None:
            value = _typed(name, value, kind)
        self._known[name] = value
        return value

    def variable(self, name: str) -> Variable:
        """A variable, with its value."""
        value, kind = self(name), self._types.get(name, "")
        shown = value if isinstance(value, str | None) else FUNCTIONS["jsonencode"](value)
        outer, _, inner = kind.rstrip(")").partition("(")
        described = text(f"the variable {name}: description", evaluate(name, self.descriptions[name], self))
        return Variable(name, f"{outer} of {inner}" if inner else kind, shown, described)

    def once(self, what: str, value: Any, lookup: Lookup) -> Any:
        """Compute something that nothing it depends on may need."""
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
        if "result" not in body:
            raise InvalidOption(f"{where} has no result")
        names = _names(body.get("params", []))
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
    """`target.NAME` in an expression: its fields, computed when they are asked for."""

    def __init__(self, scope: _Scope, name: str, body: Mapping[str, Any]) -> None:
        self._scope = scope
        self._name = name
        self._body = body

    def __getitem__(self, field: str) -> Any:
        return self._scope.once(f"{self._name}.{field}", self._body[field], self._scope)

    def __iter__(self) -> Iterator[str]:
        return iter(self._body)

    def __len__(self) -> int:
        return len(self._body)


def _names(value: Any) -> list[str]:
    """Of parameters: names, not values."""
    if isinstance(value, Attribute):
        return NAME.findall(value.source)
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _type_of(where: str, value: Any) -> str:
    kind = re.sub(r"\s", "", value.source if isinstance(value, Attribute) else str(value)).strip('"')
    if re.fullmatch(r"any|bool|number|string|(?:list|set|map)\((?:any|bool|number|string)\)", kind) is None:
        raise InvalidOption(
            f"{where}: the type {kind} is not supported",
            action="use string, number, bool, any, or list(…), set(…), map(…) of one of them",
        )
    return kind


def _typed(name: str, value: Any, kind: str) -> Any:
    """The value as one of its type. Raises InvalidOption where it cannot be one."""
    outer, _, inner = kind.rstrip(")").partition("(")
    if value is None or outer == "any":
        return value
    if outer in {"list", "set"} and isinstance(value, list):
        items = [_typed(name, item, inner) for item in value]
        return items if outer == "list" else sorted(dict.fromkeys(items))
    if outer == "map" and isinstance(value, dict):
        return {key: _typed(name, item, inner) for key, item in value.items()}
    if outer == "string" and not isinstance(value, list | dict):
        return text(f"the variable {name}", value)
    if outer == "number" and isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        return _number_of(name, value)
    if outer == "bool" and isinstance(value, bool | str):
        return boolean(f"the variable {name}", value) if isinstance(value, str) else value
    raise InvalidOption(f"the variable {name} is a {kind}, not {value!r}")


def _number_of(name: str, value: Any) -> Decimal:
    try:
        number = Decimal(value)
        if number.is_finite():
            return number
    except DecimalException:
        pass
    raise InvalidOption(f"the variable {name} is a number, not {value!r}")


def _given(name: str, value: str, default: Any, kind: str | None) -> Any:
    """A value that was given as text, of its type, or its default's; of a list divided by commas, as buildx has it."""
    if kind is not None:
        return csv_fields(f"the variable {name}", value) if kind.startswith(("list", "set")) else value
    if isinstance(default, bool):
        return boolean(f"the variable {name}", value)
    if isinstance(default, int | Decimal):
        return _number_of(name, value)
    if isinstance(default, list | dict):
        raise InvalidOption(f"the variable {name} is not a string, so it can only be changed in the file")
    return value


def _definition(file: str, document: dict[str, Any], scope: _Scope) -> Definition:
    groups: dict[str, tuple[str, ...]] = {}
    targets: dict[str, Fields] = {}
    warnings: list[str] = []
    descriptions: dict[str, str] = {}
    for name, body in _blocks(file, document, "group"):
        values = evaluate(f"{file}: group {name}", {k: v for k, v in body.items() if k != "description"}, scope)
        warnings += [
            f"{file}: group {name}: the field {field!r} is unknown and ignored"
            for field in values
            if field != "targets"
        ]
        if "description" in body:
            descriptions[name] = text(f"{file}: group {name}", evaluate(file, body["description"], scope))
        groups[name] = tuple(texts(f"{file}: group {name}", values.get("targets", [])))
    for name, body in _blocks(file, document, "target"):
        where = f"{file}: target {name}"
        if "matrix" in body:
            expanded = dict(_matrix(where, name, body, scope, warnings))
            groups[name] = tuple(expanded)
        elif "name" in body:
            raise InvalidOption(f"{where}: `name` needs a matrix", action="remove it")
        else:
            expanded = {name: _target(where, body, scope, warnings)}
        for one, fields in expanded.items():
            if _NAME.fullmatch(one) is None:
                raise InvalidOption(f"{where}: {one!r} is not a valid target name (use letters, digits, _ and -)")
            targets[one] = merge(targets[one], fields) if one in targets else fields
    return Definition(groups, targets, tuple(dict.fromkeys(warnings)), descriptions)


def _target(where: str, body: Mapping[str, Any], lookup: Lookup, warnings: list[str]) -> Fields:
    plain = {key: value for key, value in body.items() if key not in {"matrix", "name"}}
    return read_fields(where, evaluate(where, plain, lookup), warnings)


def _matrix(
    where: str, block: str, body: Mapping[str, Any], scope: _Scope, warnings: list[str]
) -> Iterator[tuple[str, Fields]]:
    """One target for each combination of the matrix's values, named by the template `name`, else as the `block` is."""
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

        name = evaluate(f"{where}: name", body.get("name", block), lookup)
        if name in seen:
            raise InvalidOption(
                f"{where}: two combinations of the matrix have the name {name!r}",
                action="set `name` to a template that uses the matrix's values",
            )
        seen.add(name)
        yield name, _target(where, body, lookup, warnings)


def _blocks(file: str, document: Mapping[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
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

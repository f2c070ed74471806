"""docker-bake.json: groups, targets, variables and matrices.

Semantics: docs/bake-reference.md and bake/hclparser (docker/buildx); the file is HCL's JSON form, where a block may be
written as an object or as a list of objects (json/spec.md in hashicorp/hcl).
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any

from prefect_slipway.flows.bake.bounds import MOST_LEVELS, check_document, too_deep
from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.expression import CONVERT, Lookup
from prefect_slipway.flows.bake.fields import Fields, merge, read_fields, texts
from prefect_slipway.flows.bake.template import evaluate
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean

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


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_float=Decimal, parse_int=_whole, object_pairs_hook=_object)
    except RecursionError:
        raise too_deep(name) from None
    except (ValueError, DecimalException) as error:
        raise InvalidOption(f"{name} is not JSON: {error}") from error
    check_document(name, document)
    if not isinstance(document, dict):
        raise InvalidOption(f"{name} is not a bake file: it does not contain an object")
    if _blocks(name, document, "function"):
        raise InvalidOption(f"{name} defines functions, which are not supported", action=CONVERT)
    return document


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


class _Repeated(list[Any]):
    """The values of a key that an object has several times, as a block may."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key not in found:
            found[key] = value
        elif isinstance(found[key], _Repeated):
            found[key].append(value)
        else:
            found[key] = _Repeated([found[key], value])
    return found


class _Scope:
    """The variables of all files, computed at first use."""

    def __init__(self, documents: Sequence[tuple[str, dict[str, Any]]], given: Mapping[str, str]) -> None:
        self._given = given
        self._defaults: dict[str, Any] = {}
        self._busy: list[str] = []
        self._known: dict[str, Any] = {}
        self._rules: list[tuple[str, dict[str, Any]]] = []
        for name, document in documents:
            for variable, body in _blocks(name, document, "variable"):
                self._defaults[variable] = body.get("default", "")
                where = f"{name}: the variable {variable}"
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
        if name in self._busy:
            raise InvalidOption(f"the variable {name} depends on itself")
        if len(self._busy) > MOST_LEVELS:
            raise too_deep(f"the variable {name}")
        if name not in self._defaults:
            if name in _BUILT_IN:
                return _BUILT_IN[name]
            raise InvalidOption(f"there is no variable {name}", action=f"define it; or {CONVERT}")
        self._busy.append(name)
        try:
            default = evaluate(f"variable {name}", self._defaults[name], self)
        finally:
            self._busy.pop()
        value = self._known[name] = _given(name, self._given[name], default) if name in self._given else default
        return value


def _given(name: str, value: str, default: Any) -> Any:
    """A value that was given as text, of its default's type."""
    if isinstance(default, bool):
        return boolean(f"the variable {name}", value)
    if isinstance(default, int | Decimal):
        try:
            number = Decimal(value)
            if number.is_finite():
                return number
        except DecimalException:
            pass
        raise InvalidOption(f"the variable {name} is a number, not {value!r}")
    if isinstance(default, list | dict):
        raise InvalidOption(f"the variable {name} is not a string, so it can only be changed in the file")
    return value


def _definition(file: str, document: dict[str, Any], scope: _Scope) -> Definition:
    groups: dict[str, tuple[str, ...]] = {}
    targets: dict[str, Fields] = {}
    warnings: list[str] = []
    for name, body in _blocks(file, document, "group"):
        values = evaluate(f"{file}: group {name}", {k: v for k, v in body.items() if k != "description"}, scope)
        warnings += [
            f"{file}: group {name}: the field {field!r} is unknown and ignored"
            for field in values
            if field != "targets"
        ]
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
    return Definition(groups, targets, tuple(dict.fromkeys(warnings)))


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
                    if isinstance(item, _Repeated) and key != "validation":
                        raise InvalidOption(f"{file}: {kind} {name}: the field {key!r} appears twice")
                found.append((name, {key: item for key, item in body.items() if key != "//"}))
    return found


def _objects(where: str, value: Any) -> list[dict[str, Any]]:
    objects = value if isinstance(value, list) else [] if value is None else [value]
    if isinstance(value, _Repeated):
        objects = [each for one in value for each in (one if isinstance(one, list) else [one])]
    if not all(isinstance(one, dict) for one in objects):
        raise InvalidOption(f"{where} must be an object")
    return objects

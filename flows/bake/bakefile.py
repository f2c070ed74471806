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
from typing import Any

from flows.bake.bounds import MOST_LEVELS, check_document, too_deep
from flows.bake.definition import Definition
from flows.bake.fields import Fields, merge, read_fields, texts
from flows.bake.template import CONVERT, Lookup, evaluate
from flows.domain.errors import InvalidOption

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_MOST_COMBINATIONS = 1000
_BLOCKS = {"group", "target", "variable", "function"}
# The places that a build is run from and that a remote definition comes from: here both are the source's directory.
_BUILT_IN = {"BAKE_CMD_CONTEXT": "cwd://"}


def read_bake_files(files: Sequence[tuple[str, str]], variables: Mapping[str, str]) -> Definition:
    """All files (name and text each) as one definition: they share their variables, later ones have the last word.

    `variables`: values that replace the variables' defaults. Raises InvalidOption.
    """
    documents = [(name, _parse(name, text)) for name, text in files]
    scope = _Scope(documents, variables)
    whole = Definition()
    for name, document in documents:
        whole = _definition(name, document, scope).over(whole)
    return whole


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except RecursionError:
        raise too_deep(name) from None
    except ValueError as error:
        raise InvalidOption(f"{name} is not JSON: {error}") from error
    check_document(name, document)
    if not isinstance(document, dict):
        raise InvalidOption(f"{name} is not a bake file: it holds no object")
    if _blocks(name, document, "function"):
        raise InvalidOption(f"{name} defines functions, which are not read", action=CONVERT)
    return document


class _Scope:
    """The variables of all files, worked out when they are asked for."""

    def __init__(self, documents: Sequence[tuple[str, dict[str, Any]]], given: Mapping[str, str]) -> None:
        self._given = given
        self._defaults: dict[str, Any] = {}
        self._busy: list[str] = []
        self._known: dict[str, Any] = {}
        for name, document in documents:
            for variable, body in _blocks(name, document, "variable"):
                self._defaults[variable] = body.get("default", "")
            plain = {key: value for key, value in document.items() if key not in _BLOCKS and key != "//"}
            self._defaults.update(plain)

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
        if value.lower() not in {"true", "false", "1", "0"}:
            raise InvalidOption(f"the variable {name} is true or false, not {value!r}")
        return value.lower() in {"true", "1"}
    if isinstance(default, int | float):
        try:
            return int(value) if value.lstrip("-").isdigit() else float(value)
        except ValueError:
            raise InvalidOption(f"the variable {name} is a number, not {value!r}") from None
    if isinstance(default, list | dict):
        raise InvalidOption(f"the variable {name} is not a text, so it can be changed in the file alone")
    return value


def _definition(file: str, document: dict[str, Any], scope: _Scope) -> Definition:
    groups: dict[str, tuple[str, ...]] = {}
    targets: dict[str, Fields] = {}
    for name, body in _blocks(file, document, "group"):
        values = evaluate(f"{file}: group {name}", {k: v for k, v in body.items() if k != "description"}, scope)
        if set(values) - {"targets"}:
            raise InvalidOption(f"{file}: group {name} knows `targets` alone, not {', '.join(sorted(values))}")
        groups[name] = tuple(texts(f"{file}: group {name}", values.get("targets", [])))
    for name, body in _blocks(file, document, "target"):
        where = f"{file}: target {name}"
        if "matrix" in body:
            expanded = dict(_matrix(where, body, scope))
            groups[name] = tuple(expanded)
        else:
            expanded = {name: _target(where, body, scope)}
        for one, fields in expanded.items():
            if _NAME.fullmatch(one) is None:
                raise InvalidOption(f"{where}: {one!r} is no name for a target (letters, digits, _ and -)")
            targets[one] = merge(targets[one], fields) if one in targets else fields
    return Definition(groups, targets)


def _target(where: str, body: Mapping[str, Any], lookup: Lookup) -> Fields:
    plain = {key: value for key, value in body.items() if key not in {"matrix", "name"}}
    return read_fields(where, evaluate(where, plain, lookup))


def _matrix(where: str, body: Mapping[str, Any], scope: _Scope) -> Iterator[tuple[str, Fields]]:
    """One target for each combination of the matrix's values, named by the template `name`."""
    axes = evaluate(where, body["matrix"], scope)
    if not isinstance(axes, dict) or not all(isinstance(values, list) for values in axes.values()):
        raise InvalidOption(f"{where}: a matrix is an object of lists")
    if "name" not in body:
        raise InvalidOption(f"{where}: a target with a matrix needs `name`, a template with its values")
    if math.prod(map(len, axes.values())) > _MOST_COMBINATIONS:
        raise InvalidOption(f"{where}: the matrix has more than {_MOST_COMBINATIONS} combinations")
    seen = set()
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))

        def lookup(name: str, values: dict[str, Any] = values) -> Any:
            return values[name] if name in values else scope(name)

        name = evaluate(f"{where}: name", body["name"], lookup)
        if name in seen:
            raise InvalidOption(f"{where}: two combinations of the matrix have the name {name!r}")
        seen.add(name)
        yield name, _target(where, body, lookup)


def _blocks(file: str, document: Mapping[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The blocks of a kind by their names: objects, or lists of objects at each level."""
    found = []
    for level in _objects(f"{file}: {kind}", document.get(kind)):
        for name, value in level.items():
            if name == "//":
                continue
            for body in _objects(f"{file}: {kind} {name}", value):
                found.append((name, {key: item for key, item in body.items() if key != "//"}))
    return found


def _objects(where: str, value: Any) -> list[dict[str, Any]]:
    objects = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, dict) for one in objects):
        raise InvalidOption(f"{where} is to be an object")
    return objects

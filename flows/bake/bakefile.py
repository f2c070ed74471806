"""docker-bake.json and docker-bake.hcl: groups, targets, variables, functions and matrices.

Semantics: docs/bake-reference.md and bake/hclparser (docker/buildx). JSON is HCL's other form, where a block may be
written as an object or as a list of objects (json/spec.md in hashicorp/hcl).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any

from prefect_slipway.flows.bake.bounds import check_document, too_deep
from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.expression import Lookup
from prefect_slipway.flows.bake.fields import Fields, merge, read_fields, text, texts
from prefect_slipway.flows.bake.hcl import Repeated, parse_hcl
from prefect_slipway.flows.bake.scope import Scope, Variable, blocks, named_targets
from prefect_slipway.flows.bake.template import evaluate
from prefect_slipway.infra.domain.errors import InvalidOption

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_NUMBER = 1000


def read_bake_files(files: Sequence[tuple[str, str]], variables: Mapping[str, str]) -> Definition:
    """All files (name and text each) as one definition: they share their variables, and later files override earlier
    ones.

    `variables`: values that replace the variables' defaults. Raises InvalidOption.
    """
    documents = [(name, _parse(name, text)) for name, text in files]
    scope = Scope(documents, variables)
    scope.check()
    whole = Definition()
    named: dict[str, list[str]] = {}
    for name, document in documents:
        whole = _definition(name, document, scope, named).over(whole)
    # What a block's targets are called instead of its own name is a group of that name.
    renamed = {name: tuple(dict.fromkeys(names)) for name, names in named.items() if set(names) != {name}}
    return whole._replace(groups={**whole.groups, **renamed})


def known_variables(files: Sequence[tuple[str, str]], given: Mapping[str, str]) -> list[Variable]:
    """The variables of all files, by name; as `read_bake_files`."""
    scope = Scope([(name, _parse(name, text)) for name, text in files], given)
    scope.check()
    return [scope.variable(name) for name in sorted(scope.descriptions)]


def _parse(name: str, text: str) -> dict[str, Any]:
    if not name.endswith(".json") and not text.lstrip().startswith("{"):
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


def _definition(file: str, document: dict[str, Any], scope: Scope, named: dict[str, list[str]]) -> Definition:
    """`named`: the targets' names by the name of their block, which are added."""
    groups: dict[str, tuple[str, ...]] = {}
    targets: dict[str, Fields] = {}
    warnings: list[str] = []
    descriptions: dict[str, str] = {}
    for name, body in blocks(file, document, "group"):
        where = f"{file}: group {name}"
        values = evaluate(where, body, scope)
        warnings += [
            f"{where}: the field {field!r} is unknown and ignored"
            for field in values
            if field not in {"targets", "description"}
        ]
        if "description" in values:
            descriptions[name] = text(where, values["description"])
        groups[name] = tuple(texts(where, values.get("targets", [])))
    for name, body in blocks(file, document, "target"):
        where = f"{file}: target {name}"
        for one, lookup in named_targets(where, name, body, scope):
            if _NAME.fullmatch(one) is None:
                raise InvalidOption(f"{where}: {one!r} is not a valid target name (use letters, digits, _ and -)")
            fields = _target(where, body, lookup, warnings)
            targets[one] = merge(targets[one], fields) if one in targets else fields
            named.setdefault(name, []).append(one)
    return Definition(groups, targets, tuple(dict.fromkeys(warnings)), descriptions)


def _target(where: str, body: Mapping[str, Any], lookup: Lookup, warnings: list[str]) -> Fields:
    plain = {key: value for key, value in body.items() if key not in {"matrix", "name"}}
    return read_fields(where, evaluate(where, plain, lookup), warnings)

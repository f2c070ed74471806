"""Values of bake files: strings with `${…}` in docker-bake.json, which is HCL's JSON form, and expressions in HCL.

Syntax: "Templates" in spec.md and json/spec.md (hashicorp/hcl).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from prefect_slipway.flows.bake.bounds import too_deep
from prefect_slipway.flows.bake.expression import Expression, Lookup, parse_template


class Attribute(NamedTuple):
    """Of an HCL file. `source`: as it is written."""

    expression: Expression
    source: str


def evaluate(where: str, value: Any, lookup: Lookup) -> Any:
    """`value` with every template and expression in it replaced. `lookup` gives a name's value. Raises
    InvalidOption."""
    if isinstance(value, Attribute):
        return _computed(where, value.expression, lookup)
    if isinstance(value, str):
        return _template(where, value, lookup)
    if isinstance(value, list):
        return [evaluate(where, item, lookup) for item in value]
    if isinstance(value, dict):
        return {str(_template(where, key, lookup)): evaluate(where, item, lookup) for key, item in value.items()}
    return value


def _template(where: str, text: str, lookup: Lookup) -> Any:
    return _computed(where, parse_template(where, text), lookup) if "{" in text else text


def _computed(where: str, expression: Expression, lookup: Lookup) -> Any:
    try:
        return expression(lookup)
    except RecursionError:
        raise too_deep(where) from None

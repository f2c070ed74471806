"""`--list`: the targets or variables of bake files, as `docker buildx bake` lists them.

Forms: `printTargetList` and `printVars` in commands/bake.go (docker/buildx).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.read import read_folder, read_variables
from prefect_slipway.flows.bake.scope import Variable
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import attributes
from prefect_slipway.infra.domain.text import columns


def listed(
    wanted: str, places: Places, files: Sequence[str], variables: Mapping[str, str], stdin: str | None = None
) -> str:
    """`wanted`: `targets`, `variables`, or `type=…,format=json`; the rest as of `read_folder`. Raises InvalidOption."""
    fields = attributes("--list", wanted) if wanted.startswith("type=") or "," in wanted else {"type": wanted}
    kind, form = fields.pop("type", ""), fields.pop("format", "table")
    if kind not in {"targets", "variables"} or form not in {"table", "json"} or fields:
        raise InvalidOption(
            f"--list {wanted!r} is not known", action="use targets, variables, or type=targets,format=json"
        )
    if kind == "targets":
        found = _targets(read_folder(places, files, variables, stdin))
        rows = [["TARGET", "DESCRIPTION"], *([each["name"], _described(each)] for each in found)]
    else:
        known = read_variables(places, files, variables, stdin)
        found = [_variable(each) for each in known]
        values = (
            [each.name, each.type, "<null>" if each.value is None else each.value, each.description] for each in known
        )
        rows = [["VARIABLE", "TYPE", "VALUE", "DESCRIPTION"], *values]
    if form == "json":
        members = [{key: value for key, value in each.items() if key != "targets"} for each in found]
        return json.dumps(members, indent=2)
    return "\n".join(columns(rows, gap=3))


def _targets(definition: Definition) -> list[dict[str, Any]]:
    """Those that may be built, by name; a name with an underscore in front is for inheritance."""
    found = []
    for name in sorted({*definition.groups, *definition.targets}):
        if name.startswith("_"):
            continue
        each: dict[str, Any] = {"name": name}
        fields = definition.targets.get(name, {})
        if description := definition.descriptions.get(name) or fields.get("description"):
            each["description"] = description
        if name in definition.groups:
            each |= {"group": True, "targets": sorted(definition.groups[name])}
        found.append(each)
    return found


def _described(target: Mapping[str, Any]) -> str:
    description, members = target.get("description", ""), ", ".join(target.get("targets", ()))
    return f"{description} ({members})" if description and members else description or members


def _variable(variable: Variable) -> dict[str, str]:
    known = {"name": variable.name, "description": variable.description, "type": variable.type}
    found = {key: text for key, text in known.items() if text}
    return found if variable.value is None else {**found, "value": variable.value}

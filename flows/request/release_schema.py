"""The JSON schema of `slipway.toml`, for editors that complete TOML by one (Taplo, Even Better TOML)."""

from __future__ import annotations

from typing import Any

from prefect_slipway.flows.request.bake import Bake
from prefect_slipway.flows.request.component import Component
from prefect_slipway.flows.request.model import Request
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.release_file import NOT_IN_FILE, WORKSPACES, section

_KIND = {"type": "string", "enum": list(WORKSPACES)}
_OF_FORMS = ("position", "propertyNames")


def release_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    schema = _table(ReleaseRequest, "")
    component = _table(Component, "")
    component["properties"] |= schema["properties"]
    schema["properties"] |= {
        "workspace": {
            "description": "Workspace whose members with a Dockerfile are components.",
            "anyOf": [_KIND, {"type": "array", "items": _KIND}],
        },
        "components": {
            "description": "Parts of the source that have versions of their own.",
            "type": "object",
            "additionalProperties": component,
        },
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Slipway release file"}
    return {**head, **schema}


def _table(model: type[Request], above: str) -> dict[str, Any]:
    whole = model.model_json_schema()
    fields: dict[str, Any] = {}
    for name in model.model_fields:
        if f"{above}{name}" in NOT_IN_FILE:
            continue
        inner = section(model, name)
        field = dict(whole["properties"][name])
        if inner is not None:
            described = {"description": model.model_fields[name].description}
            fields[name] = {**_table(Bake if inner is Bake else inner, f"{name}."), **described}
            continue
        if (each := model.table(name)) is not None:
            described = {"description": model.model_fields[name].description}
            fields[name] = {"type": "object", "additionalProperties": _table(each, f"{name}."), **described}
            continue
        if reference := field.pop("$ref", None):
            named = whole["$defs"][reference.rpartition("/")[2]]
            field = {**{key: value for key, value in named.items() if key != "title"}, **field}
        fields[name] = {key: value for key, value in field.items() if key not in _OF_FORMS}
    return {"type": "object", "properties": fields, "additionalProperties": False}

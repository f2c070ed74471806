"""A request's JSON schema as Prefect's form needs it, and Prefect's server checks parameters by it."""

from __future__ import annotations

from typing import Any


def as_form(schema: dict[str, Any]) -> None:
    """Make each field that may be empty one of its own type: a choice of "None" and a text is a switch in the form.

    The server takes null for a property that is not required and has no default
    (prefect/utilities/schema_tools/validation.py, `_fix_null_typing`). PostgreSQL does not keep the order of
    properties, so each says its position.
    """
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position
        kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
        if len(kinds) == 1 and len(field["anyOf"]) == 2 and "$ref" not in kinds[0]:
            del field["anyOf"], field["default"]
            field.update(kinds[0])
            if "pattern" in field:
                field["pattern"] = f"^$|{field['pattern']}"

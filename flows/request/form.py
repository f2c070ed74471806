"""A request's JSON schema as Prefect's form needs it, and Prefect's server checks parameters by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ACRONYMS = {"ca", "oci", "ssh"}


def as_form(schema: dict[str, Any], order: Sequence[str]) -> None:
    """Make each field that may be empty one of its own type: a choice of "None" and a text is a switch in the form.

    The server takes null for a property that is not required and has no default
    (prefect/utilities/schema_tools/validation.py, `_fix_null_typing`). PostgreSQL does not keep the order of
    properties, so each says its position: those that are required first, then as in `order`.
    """
    if "description" in schema:
        schema["description"] = _plain(schema["description"])
    fields, required = schema.get("properties", {}), schema.get("required", ())
    placed = sorted(fields, key=lambda name: (name not in required, order.index(name)))
    for name, field in fields.items():
        field["position"] = placed.index(name)
        # Prefect's second UI shows Markdown as it is typed, and Pydantic's titles write CA as Ca.
        field["title"] = _title(name)
        if "description" in field:
            field["description"] = _plain(field["description"])
        kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
        if len(kinds) == 1 and len(field["anyOf"]) == 2 and "$ref" not in kinds[0]:
            del field["anyOf"], field["default"]
            field.update(kinds[0])
            if "pattern" in field:
                field["pattern"] = f"^$|{field['pattern']}"


def _title(name: str) -> str:
    words = name.removesuffix("_s").split("_")
    first, *others = [word.upper() if word in _ACRONYMS else word for word in words]
    title = " ".join([first if first.isupper() else first.capitalize(), *others])
    return f"{title} (seconds)" if name.endswith("_s") else title


def _plain(description: str) -> str:
    # Prefect's first UI draws Markdown, in which two asterisks outside of code are emphasis.
    return description if "*" in description else description.replace("`", "")

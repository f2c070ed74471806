"""The rows of tables that Slipway keeps as artifacts in Prefect, where whoever reaches the server may write as well."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Artifact

Row = TypeVar("Row")
"""A dataclass of texts and numbers."""

_TYPES: dict[Any, Any] = {"str": str, "int": int, "float": (int, float)}
# The names of fields with times.
_WHEN, _MAYBE = "when", "committed"


def kept_rows(kind: type[Row], artifact: Artifact | None) -> list[Row]:
    """What the table has of this kind; nothing of what others wrote."""
    # The server gives a table back as the JSON text it was sent as.
    try:
        found = json.loads(str(artifact.data)) if artifact is not None else []
    except (ValueError, RecursionError):
        return []
    rows = [kept_row(kind, each) for each in found] if isinstance(found, list) else []
    return [row for row in rows if row is not None]


def kept_row(kind: type[Row], row: object) -> Row | None:
    """None for one that lacks a field, or has a value of another type; times are RFC 3339."""
    if not isinstance(row, dict):
        return None
    values = {}
    for each in fields(kind):  # type: ignore[arg-type]
        value = values[each.name] = row.get(each.name)
        if not isinstance(value, _TYPES[each.type]):
            return None
        if (each.name == _WHEN or (each.name == _MAYBE and value)) and not _is_moment(value):
            return None
    return kind(**values)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False

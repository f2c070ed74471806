"""How the generated pages write Markdown."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from prefect_slipway.flows.request.model import Request

_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", SecretStr: "secret text"}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; `|` in a cell is escaped."""
    columns = list(head)
    lines = (f"|{'|'.join(f' {cell(each)} ' if each else ' ' for each in row)}|\n" for row in (columns, *rows))
    return next(lines) + f"|{'---|' * len(columns)}\n" + "".join(lines)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def words(thing: object) -> str:
    """What its docstring says, before an example; "" without one of its own."""
    text = inspect.cleandoc(getattr(thing, "__doc__", "") or "").partition("\n\nExample:")[0]
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else text


def kind(annotation: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join(kind(each) for each in inner if each is not type(None))
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if origin in (list, tuple):
        return f"list of {kind(inner[0])}"
    if origin is dict:
        return f"mapping of {kind(inner[0])} to {kind(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{each.value}`" for each in annotation)
    if isinstance(annotation, type) and issubclass(annotation, Request):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _NAMES[annotation]


def default(field: FieldInfo) -> str:
    """The value that a field has if nobody sets it; "" for none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, "", [], {}) or isinstance(value, BaseModel):
        return ""
    text = str(value.value if isinstance(value, Enum) else value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"

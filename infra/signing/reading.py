"""Read JSON and base64 from a registry, which may be truncated, huge or malicious."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from prefect_slipway.infra.domain.errors import SignatureMalformed

_T = TypeVar("_T", dict[str, Any], list[Any], str)


def read_object(raw: bytes, what: str, *, limit: int, parts: int | None = None) -> dict[str, Any]:
    """The JSON object in `raw`. Raises SignatureMalformed.

    `what`: as messages name it ("a bundle"). `limit`: in bytes. `parts`: about how many values it may be made of, None
    for any number: a parser takes up to sixty times as much memory as there are bytes in many small values.
    """
    if len(raw) > limit:
        raise SignatureMalformed(f"{what} of {len(raw)} bytes: the limit is {limit}")
    if parts is not None and raw.count(b",") + raw.count(b"[") + raw.count(b"{") > parts:
        raise SignatureMalformed(f"{what} of more than {parts} values")
    try:
        document = json.loads(raw, object_pairs_hook=_unambiguous, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise SignatureMalformed(f"{what} that is truncated or not JSON") from error
    if not isinstance(document, dict):
        raise SignatureMalformed(f"{what} that is not a JSON object")
    return document


def member(document: dict[str, Any], name: str, kind: type[_T], what: str) -> _T:
    """A value that must be there and be of this type. Raises SignatureMalformed."""
    value = document.get(name)
    if not isinstance(value, kind):
        raise SignatureMalformed(f"{what} without {name!r}, or with another type of value there")
    return value


def object_in(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object there; an empty one for anything else, as of fields that may be missing."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def objects_in(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_in(document: Mapping[str, Any], key: str) -> str:
    """The text there, "" for anything else."""
    value = document.get(key)
    return value if isinstance(value, str) else ""


def decode_base64(text: str, what: str) -> bytes:
    """Standard or URL-safe base64, padded or not, as DSSE's and protobuf's JSON allow. Raises SignatureMalformed."""
    try:
        return base64.b64decode(text.translate(_STANDARD) + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise SignatureMalformed(f"{what} that is truncated or not base64") from error


_STANDARD = str.maketrans("-_", "+/")


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members with one name other readers may take the other one."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("two members have the same name")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

"""The fields of a bake target, and how one definition is laid over another.

Fields and merge rules: docs/bake-reference.md and `Target.Merge` in bake/bake.go (docker/buildx).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flows.domain.errors import InvalidOption

Fields = dict[str, Any]
"""What a definition says of a target, by bake's field names, checked; a field it does not name is not in it."""


def read_fields(where: str, values: Mapping[str, Any]) -> Fields:
    """The fields with their types checked; `null` is as if not there. Raises InvalidOption for what is not known."""
    fields: Fields = {}
    for name, value in values.items():
        if name == "description" or value is None:
            continue
        reader = _READERS.get(name)
        if reader is None:
            raise InvalidOption(
                f"{where}: the field {name!r} is not one that Slipway can act on",
                action=f"take it out; known are {', '.join(sorted(_READERS))}",
            )
        fields[name] = reader(f"{where}: {name}", value)
    return fields


def merge(below: Fields, above: Fields) -> Fields:
    """`above` laid over `below`: maps by key, the lists of `_COLLECTED` joined, everything else replaced."""
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, dict) and name in below:
            merged[name] = below[name] | value
        elif name in _COLLECTED and name in below:
            merged[name] = _distinct([*below[name], *value])
        else:
            merged[name] = value
    if "attest" in merged:
        # Of one type the last word counts.
        merged["attest"] = list({_type_of(entry): entry for entry in merged["attest"]}.values())
    return merged


def text(where: str, value: Any) -> str:
    """A scalar as the text it stands for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidOption(f"{where} is to be a text, not {_kind(value)}")


def flag(where: str, value: Any) -> bool:
    """A truth value, written as one or as text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise InvalidOption(f"{where} is to be true or false, not {_kind(value)}")


def texts(where: str, value: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(value, list):
        raise InvalidOption(f"{where} is to be a list, not {_kind(value)}")
    return _distinct([text(where, item) for item in value if item is not None])


def text_map(where: str, value: Any) -> dict[str, str]:
    """A map of texts; a key whose value is `null` is as if not there."""
    if not isinstance(value, dict):
        raise InvalidOption(f"{where} is to be an object, not {_kind(value)}")
    return {str(key): text(f"{where}.{key}", item) for key, item in value.items() if item is not None}


def entries(where: str, value: Any) -> list[str]:
    """A list whose items are `key=value,…` or objects with these keys (bake has both forms)."""
    if not isinstance(value, list):
        raise InvalidOption(f"{where} is to be a list, not {_kind(value)}")
    return _distinct([_entry(where, item) for item in value if item is not None])


def _entry(where: str, item: Any) -> str:
    if not isinstance(item, dict):
        return text(where, item)
    pairs = (f"{key}={text(where, value)}" for key, value in item.items() if value is not None)
    return ",".join(f'"{pair}"' if "," in pair else pair for pair in pairs)


def _distinct(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _type_of(entry: str) -> str:
    kinds = [part.removeprefix("type=") for part in entry.split(",") if part.startswith("type=")]
    return kinds[0] if kinds else entry


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", bool: "a truth value", type(None): "null"}.get(type(value), repr(value))


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "inherits": texts,
    "context": text,
    "contexts": text_map,
    "dockerfile": text,
    "dockerfile-inline": text,
    "target": text,
    "args": text_map,
    "labels": text_map,
    "annotations": texts,
    "tags": texts,
    "platforms": texts,
    "cache-from": entries,
    "cache-to": entries,
    "secret": entries,
    "ssh": entries,
    "attest": entries,
    "output": entries,
    "pull": flag,
    "no-cache": flag,
    "no-cache-filter": texts,
    "network": text,
    "shm-size": text,
    "ulimits": texts,
    "extra-hosts": text_map,
    "entitlements": texts,
}
_COLLECTED = frozenset(
    {"inherits", "annotations", "attest", "cache-from", "no-cache-filter", "ulimits", "entitlements"}
)

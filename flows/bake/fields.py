"""The fields of a bake target, and how one definition overrides another.

Fields and merge rules: docs/bake-reference.md and `Target.Merge` in bake/bake.go (docker/buildx).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from prefect_slipway.flows.build_options import entries
from prefect_slipway.flows.build_options.attest import attest_type
from prefect_slipway.flows.build_options.outputs import kind_of
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import attributes, csv_fields, csv_line

Fields = dict[str, Any]
"""What a definition says of a target, by bake's field names, checked; a field it does not name is not in it."""


def read_fields(where: str, values: Mapping[str, Any], warnings: list[str]) -> Fields:
    """The fields with their types checked; `null` counts as missing. What is not known is left out and noted in
    `warnings`. Raises InvalidOption."""
    fields: Fields = {}
    for name, value in values.items():
        if value is None:
            continue
        if name in _NOT_HERE and value not in ("", "build", []):
            raise InvalidOption(f"{where}: the field {name!r} is not supported in a release", action="remove it")
        reader = _READERS.get(name)
        if reader is None:
            if name not in _NOT_HERE:
                warnings.append(f"{where}: the field {name!r} is unknown and ignored")
            continue
        fields[name] = reader(f"{where}: {name}", value)
    return fields


def merge(below: Fields, above: Fields) -> Fields:
    """`above` merged over `below`: maps by key, the lists of `_COLLECTED` joined, everything else replaced."""
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, dict) and name in below:
            merged[name] = below[name] | value
        elif name in _COLLECTED and name in below:
            merged[name] = _distinct([*below[name], *value])
        else:
            merged[name] = value
    for name, key in _KEYS.items():
        if name in merged:
            # Of those with the same key the last one counts.
            merged[name] = list({key(entry): entry for entry in merged[name]}.values())
    return merged


def text(where: str, value: Any) -> str:
    """A scalar as the text it stands for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return _float_text(value)
    if isinstance(value, Decimal) and abs(value.adjusted()) < _LONGEST_NUMBER:
        # Like HCL: all significant digits, and no others.
        shown = format(value, "f")
        return shown.rstrip("0").rstrip(".") if "." in shown else shown
    raise InvalidOption(f"{where} must be a string, not {_kind(value)}")


def _float_text(value: float) -> str:
    """As Go prints a number: without a fraction of 0, with an exponent for large and small ones."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "it is a finite number"
    magnitude = exponent + len(digits) - 1
    if -4 <= magnitude < 6:
        return format(Decimal(repr(value)).normalize(), "f")
    head, tail = str(digits[0]), "".join(map(str, digits[1:]))
    return f"{'-' * sign}{head}{'.' * bool(tail)}{tail}e{'+' if magnitude >= 0 else '-'}{abs(magnitude):02d}"


def flag(where: str, value: Any) -> bool:
    """A truth value, written as one or as text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "false", "1", "0"}:
        return value in {"true", "1"}
    raise InvalidOption(f"{where} must be true or false, not {_kind(value)}")


def texts(where: str, value: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(value, list):
        raise InvalidOption(f"{where} must be a list, not {_kind(value)}")
    return _distinct([each for each in (text(where, item) for item in value) if each])


def text_map(where: str, value: Any) -> dict[str, str]:
    """A map of texts; a key whose value is `null` counts as missing."""
    if not isinstance(value, dict):
        raise InvalidOption(f"{where} must be an object, not {_kind(value)}")
    return {str(key): text(f"{where}.{key}", item) for key, item in value.items() if item is not None}


def _entries(check: Callable[[str, str], object]) -> Callable[[str, Any], list[str]]:
    """A reader of a list whose items are `key=value,…` or objects with these keys (bake has both forms)."""

    def read(where: str, value: Any) -> list[str]:
        if not isinstance(value, list):
            raise InvalidOption(f"{where} must be a list, not {_kind(value)}")
        found = [each for each in (_entry(where, item) for item in value) if each]
        for each in found:
            check(where, each)
        return _distinct(found)

    return read


def _entry(where: str, item: Any) -> str:
    if not isinstance(item, dict):
        return text(where, item)
    return csv_line(f"{key}={text(where, value)}" for key, value in item.items() if value is not None)


def _caches(where: str, value: Any) -> list[str]:
    """References alone are an entry each."""
    found = _entries(lambda where, each: entries.caches(where, [each]))(where, value)
    return _distinct([each for one in found for each in (csv_fields(where, one) if "=" not in one else [one])])


def _agents(where: str, value: Any) -> list[str]:
    """SSH agents, whose objects have an id and paths."""
    if not isinstance(value, list):
        raise InvalidOption(f"{where} must be a list, not {_kind(value)}")
    found = []
    for item in value:
        if isinstance(item, dict):
            paths = ",".join(texts(where, item.get("paths") or []))
            found.append(f"{text(where, item.get('id', 'default'))}{'=' * bool(paths)}{paths}")
        else:
            found.append(text(where, item))
    return _distinct([each for each in found if each])


def _distinct(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _kind(value: Any) -> str:
    if isinstance(value, float | Decimal):
        return "such a large number"
    return {dict: "an object", list: "a list", bool: "a boolean", type(None): "null"}.get(type(value), repr(value))


_LONGEST_NUMBER = 400
# Fields of bake's that a release cannot use, or must not ignore.
_NOT_HERE = frozenset({"call", "policy"})
_READERS: dict[str, Callable[[str, Any], Any]] = {
    "description": text,
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
    "cache-from": _caches,
    "cache-to": _caches,
    "secret": _entries(lambda where, each: entries.secret(where, each, ())),
    "ssh": _agents,
    "attest": _entries(attest_type),
    "output": _entries(lambda where, each: kind_of(each)),
    "pull": flag,
    "no-cache": flag,
    "no-cache-filter": texts,
    "network": text,
    "shm-size": text,
    "ulimits": texts,
    "resources": text_map,
    "extra-hosts": text_map,
    "entitlements": texts,
}
FIELDS = frozenset({*_READERS, *_NOT_HERE})
"""All that bake knows."""

_COLLECTED = frozenset(
    {
        *("inherits", "annotations", "attest", "cache-from", "secret", "ssh"),
        *("no-cache-filter", "ulimits", "entitlements"),
    }
)
_KEYS: dict[str, Callable[[str], str]] = {
    "attest": lambda entry: attest_type("attest", entry)[0],
    "secret": lambda entry: attributes("secret", entry).get("id", ""),
    "ssh": lambda entry: entry.partition("=")[0] or "default",
}

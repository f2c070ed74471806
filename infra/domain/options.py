"""Values of options as docker's tools write them: CSV lines, `KEY=VALUE`, booleans, sizes.

Rules: tonistiigi/go-csvvalue (a line of CSV), Go's strconv.ParseBool (a truth value), docker/go-units `RAMInBytes` (a
size); util/buildflags in docker/buildx uses them. Every option of that kind is read here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prefect_slipway.infra.domain.errors import InvalidOption

_FIELD = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)|([^",]*)(?=,|\Z)')
_NUMBER = r"\+?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_TIME = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(rf"({_NUMBER}) ?(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE)
_TOO_LARGE = float(1 << 63)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

TRUE = ("1", "t", "T", "true", "TRUE", "True")
FALSE = ("0", "f", "F", "false", "FALSE", "False")


def parse_bool(text: str) -> bool | None:
    """What Go's strconv.ParseBool makes of it; None: nothing."""
    if text in TRUE:
        return True
    return False if text in FALSE else None


def boolean(what: str, text: str) -> bool:
    """The same. Raises InvalidOption, which names `what`."""
    value = parse_bool(text)
    if value is None:
        raise InvalidOption(f"{what} is {text!r}, which is neither true nor false", action="write true or false")
    return value


def csv_fields(option: str, text: str) -> list[str]:
    """The fields of one line of CSV; one that holds a comma or a quote is in quotes. Raises InvalidOption, without the
    text: it may hold a cache's secret."""
    line = text.removesuffix("\n").removesuffix("\r")
    fields = []
    position = 0
    while line:
        match = _FIELD.match(line, position)
        if match is None:
            raise InvalidOption(
                f"{option} has a misplaced quote at character {position + 1}",
                action='put a whole field in quotes: "key=a,b"',
            )
        fields.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        position = match.end() + 1
        if position > len(line):
            return fields
    raise InvalidOption(f"{option} is empty", action="write key=value,…")


def key_values(option: str, text: str) -> list[tuple[str, str]]:
    """`key=value,key="a,b"`: the keys as they are written. Raises InvalidOption."""
    pairs = []
    for field in csv_fields(option, text):
        key, equals, value = field.partition("=")
        if not equals:
            raise InvalidOption(f"{option}: {key!r} has no value", action="write key=value,…")
        pairs.append((key, value))
    return pairs


def attributes(option: str, text: str) -> dict[str, str]:
    """The same by key, in lower case; of a key that is there twice the last one. Raises InvalidOption."""
    return {key.strip().lower(): value for key, value in key_values(option, text)}


def csv_line(fields: Iterable[str]) -> str:
    """One line of CSV, which `csv_fields` reads."""
    return ",".join('"' + field.replace('"', '""') + '"' if set(field) & set(',"') else field for field in fields)


def pair(option: str, text: str, *, value_needed: bool = False) -> tuple[str, str]:
    """`KEY=VALUE`; VALUE may be empty unless it is needed. Raises InvalidOption."""
    key, equals, value = text.partition("=")
    if not equals or not key or (value_needed and not value):
        raise InvalidOption(f"{option} {text!r} is not KEY=VALUE")
    return key, value


def byte_count(option: str, text: str) -> int:
    """A number of bytes, with k, m, g, t or p for powers of 1024 (`1.5g`, `64 MiB`). Raises InvalidOption."""
    match = _SIZE.fullmatch(text)
    size = float(match[1]) * 1024 ** _POWERS.get((match[2] or "").lower(), 0) if match is not None else _TOO_LARGE
    if size >= _TOO_LARGE:
        raise InvalidOption(f"{option} {text!r} is not a size", action="write e.g. 64m")
    return int(size)


def seconds_of(text: str) -> int:
    """A length of time: a number with s, m, h, d or w (`30d`). Raises InvalidOption."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidOption(f"{text!r} is not a length of time", action="write a number and a unit, such as 30d or 12h")
    return int(match[1]) * _UNITS[match[2]]

"""`.env` and `env_file`: values for a Compose file's variables and its services' environment.

Syntax: "Env_file format" of the Compose specification; dotenv/parser.go (compose-spec/compose-go).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prefect_slipway.flows.bake.interpolation import interpolate
from prefect_slipway.infra.domain.errors import InvalidOption

_START = re.compile(r"(?:\s|#[^\n]*(?:\n|\Z))*")
_NAME = re.compile(r"(?:export[ \t]+)?([\w.\-\[\]]+)[ \t]*(?:([=:])[ \t]*|\r?(?:\n|\Z))")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_PLAIN = re.compile(r"[^\n]*")
_ESCAPE = re.compile(r"\\(?:([abcfnrtv$\"\\])|0([0-7]{1,3}))")
_ESCAPED = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), "$": "$$"}


def read_dotenv(name: str, text: str, given: Mapping[str, str]) -> dict[str, str]:
    """The values by name. `given`: known values that it may refer to. Raises InvalidOption."""
    text = text.removeprefix("\ufeff")
    found: dict[str, str] = {}
    position = _after(_START, text, 0)
    while position < len(text):
        start = _NAME.match(text, position)
        if start is None:
            raise _wrong(name, text, position, "is not NAME=VALUE")
        position = start.end()
        if start[2] is None:
            # Only a name: its existing value.
            if start[1] in given:
                found[start[1]] = given[start[1]]
        else:
            value, position = _value(name, text, position, {**found, **given})
            found[start[1]] = value
        position = _after(_START, text, position)
    return found


def _value(name: str, text: str, position: int, known: Mapping[str, str]) -> tuple[str, int]:
    if text[position : position + 1] in {"'", '"'}:
        quoted = _QUOTED.match(text, position)
        if quoted is None:
            raise _wrong(name, text, position, "has a quote that is not closed")
        if quoted[1] is not None:
            return quoted[1].replace("\\'", "'"), quoted.end()
        return str(interpolate(name, _ESCAPE.sub(_unescaped, quoted[2]), known.get, set())), quoted.end()
    end = _after(_PLAIN, text, position)
    plain = text[position:end].partition(" #")[0].rstrip()
    return str(interpolate(name, plain, known.get, set())), end


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        return chr(int(match[2], 8))
    return _ESCAPED.get(match[1], match[1] if match[1] in '"\\' else match[0])


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    assert match is not None, "it matches nothing as well"
    return match.end()


def _wrong(name: str, text: str, position: int, problem: str) -> InvalidOption:
    return InvalidOption(f"{name}: line {text.count(chr(10), 0, position) + 1} {problem}")

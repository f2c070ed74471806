"""`.env`: values for a Compose file's variables ("Env_file format" of the Compose specification)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flows.bake.interpolation import interpolate
from flows.domain.errors import InvalidOption

_LINE = re.compile(
    r"""[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*
        (?:'(?P<single>(?:[^'\\]|\\.)*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<plain>[^\r\n]*))
        [ \t]*(?:\#[^\r\n]*)?(?:\r?\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read_dotenv(text: str, given: Mapping[str, str]) -> dict[str, str]:
    """The values by name. `given`: values that are known already and may be used in it. Raises InvalidOption."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        if nothing := _NOTHING.match(text, position):
            position = nothing.end()
            continue
        line = _LINE.match(text, position)
        if line is None:
            number = text.count("\n", 0, position) + 1
            raise InvalidOption(f".env: line {number} is not NAME=VALUE")
        position = line.end()
        found[line["name"]] = _value(line, {**found, **given})
    return found


def _value(line: re.Match[str], known: Mapping[str, str]) -> str:
    if line["single"] is not None:
        return line["single"]
    if line["double"] is not None:
        value = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), line["double"], flags=re.DOTALL)
    else:
        value = re.sub(r"\s#.*", "", line["plain"]).strip()
    return str(interpolate(".env", value, known.get, set()))

"""The functions of bake files.

Names: bake/hclparser/stdlib.go (docker/buildx); meaning: cty/function/stdlib (zclconf/go-cty). What differs from run to
run (`timestamp`, `uuidv4`, `bcrypt`) or reads the machine (`homedir`) is not here: a release is recognized by what it
is made of.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import math
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any
from urllib.parse import quote_plus

from prefect_slipway.flows.bake.constraints import satisfies
from prefect_slipway.flows.bake.fields import text

_MOST_ITEMS = 1024
"""Of `range`, as in go-cty."""
_MOST = 1 << 20
_LARGEST_POWER = 1000


def equal(left: Any, right: Any) -> bool:
    """Of two types nothing is equal; all numbers are of one."""
    numbers = [isinstance(each, int | Decimal) and not isinstance(each, bool) for each in (left, right)]
    return left == right if all(numbers) or type(left) is type(right) else False


def _text(value: Any) -> str:
    if value is None or isinstance(value, list | dict):
        raise TypeError
    return text("", value)


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise TypeError
    return Decimal(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if number != number.to_integral_value():
        raise ValueError
    return int(number)


def _truth(value: Any) -> bool:
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise TypeError
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


def _distinct(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    seen: set[str] = set()
    for value in values:
        key = _encoded(value)
        if key not in seen:
            seen.add(key)
            found.append(value)
    return found


def as_set(values: Sequence[Any]) -> list[Any]:
    """Each once: strings or numbers in go-cty's order of a set, others as they come."""
    found = _distinct(values)
    if not all(isinstance(value, str | Decimal) for value in found):
        return found
    return sorted(found, key=lambda value: (value, "") if isinstance(value, Decimal) else (Decimal(0), value))


def _keys(values: Any) -> set[str]:
    return {_encoded(value) for value in _list(values)}


def _setintersection(first: Any, *others: Any) -> list[Any]:
    sets = [_keys(each) for each in others]
    return as_set([value for value in _list(first) if all(_encoded(value) in each for each in sets)])


def _setsubtract(left: Any, right: Any) -> list[Any]:
    without = _keys(right)
    return as_set([value for value in _list(left) if _encoded(value) not in without])


def _setsymmetricdifference(*lists: Any) -> list[Any]:
    """What is in an odd number of them."""
    counts = Counter(key for each in lists for key in _keys(each))
    return as_set([value for each in lists for value in each if counts[_encoded(value)] % 2])


def _encoded(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_json_number)


def _jsonencode(value: Any) -> str:
    # As Go's encoding/json writes it.
    shown = _encoded(value)
    for sign in "<>&\u2028\u2029":
        shown = shown.replace(sign, f"\\u{ord(sign):04x}")
    return shown


def _json_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError


def _jsondecode(value: Any) -> Any:
    return json.loads(_text(value), parse_float=Decimal, parse_int=Decimal)


def _regex(pattern: str, value: str) -> Any:
    found = _regexall(pattern, value)
    if not found:
        raise ValueError
    return found[0]


def _compiled(pattern: str) -> Any:
    # As in Go, and unlike in Python, no pattern takes more time than its text is long.
    import re2

    try:
        return re2.compile(_text(pattern))
    except re2.error as error:
        raise ValueError from error


def _regexall(pattern: str, value: str) -> list[Any]:
    matches = list(_compiled(pattern).finditer(_text(value)))
    return [match.groupdict() or list(match.groups()) or match[0] for match in matches]


_GROUP = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")


def _regex_replace(value: str, pattern: str, replacement: str) -> str:
    """`$1`, `${1}` and `${name}` stand for groups, as in Go's Regexp.Expand."""

    def replaced(match: Any) -> str:
        def group(reference: re.Match[str]) -> str:
            if reference[1]:
                return "$"
            name = reference[2] or reference[3]
            try:
                return match[int(name) if name.isdigit() else name] or ""
            except (IndexError, KeyError):
                return ""

        return _GROUP.sub(group, _text(replacement))

    return str(_compiled(pattern).sub(replaced, _text(value)))


def _slice(values: list[Any], start: Any, end: Any) -> list[Any]:
    first, last = _whole(start), _whole(end)
    if not 0 <= first <= last <= len(_list(values)):
        raise ValueError
    return values[first:last]


def _substr(value: str, offset: Any, length: Any) -> str:
    whole, first, count = _text(value), _whole(offset), _whole(length)
    if first < 0:
        first += len(whole)
    return whole[max(first, 0) :] if count < 0 else whole[max(first, 0) : max(first, 0) + count]


def _range(*limits: Any) -> list[Decimal]:
    numbers = [_number(limit) for limit in limits]
    if not 1 <= len(numbers) <= 3:
        raise TypeError
    start, end = (Decimal(0), numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    step = numbers[2] if len(numbers) == 3 else Decimal(1 if end >= start else -1)
    if step == 0 or (end - start) * step < 0 or (end - start) / step > _MOST_ITEMS:
        raise ValueError
    found = []
    while start < end if step > 0 else start > end:
        found.append(start)
        start += step
    return found


def _merge(*objects: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in objects:
        found |= _object(each) if each is not None else {}
    return found


def _flatten(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in _list(values):
        found += _flatten(value) if isinstance(value, list) else [value]
    return found


def _lookup(whole: Any, key: str, *default: Any) -> Any:
    return _object(whole).get(key, *default) if default else _object(whole)[key]


def _element(values: Any, index: Any) -> Any:
    # A negative one counts from the end.
    return _list(values)[_whole(index) % len(values)]


def _coalesce(*values: Any) -> Any:
    found = next((value for value in values if value is not None), None)
    return _fail() if found is None else found


def _coalescelist(*values: Any) -> Any:
    return next((value for value in values if _list(value)), None) or _fail()


def _fail() -> Any:
    raise ValueError


def _setproduct(*lists: Any) -> list[Any]:
    if len(lists) < 2 or math.prod(len(_list(each)) for each in lists) > _MOST:
        raise ValueError
    return [list(each) for each in itertools.product(*lists)]


def _chunks(values: Any, size: Any) -> list[Any]:
    count = _whole(size)
    if count < 0:
        raise ValueError
    return [_list(values)[at : at + (count or len(values))] for at in range(0, len(values), count or len(values) or 1)]


def _parseint(value: Any, base: Any) -> Decimal:
    if not 2 <= _whole(base) <= 36 or len(_text(value)) > _LARGEST_POWER or "_" in _text(value):
        raise ValueError
    return Decimal(int(_text(value), _whole(base)))


def _pow(base: Any, exponent: Any) -> Decimal:
    if abs(_number(exponent)) > _LARGEST_POWER:
        raise ValueError
    return _number(base) ** _number(exponent)


def _csvdecode(value: Any) -> list[dict[str, str]]:
    rows = list(csv.reader(io.StringIO(_text(value)), strict=True))
    if not rows or any(len(row) != len(rows[0]) for row in rows) or len(set(rows[0])) != len(rows[0]):
        raise ValueError
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


_VERB = re.compile(r"%(?:%|([-+ #0]*)([0-9]{0,3})(?:\.([0-9]{1,3}))?(?:\[([0-9]{1,3})\])?([a-zA-Z]))")


def _format(form: Any, *arguments: Any) -> str:
    """The verbs %s %d %v %q %t %x %X %o %b %f %e %g of `format`."""
    used: set[int] = set()
    following = 0

    def shown(match: re.Match[str]) -> str:
        nonlocal following
        if match[0] == "%%":
            return "%"
        flags, width, precision, index, verb = match.groups()
        at = int(index) - 1 if index else following
        following = at + 1
        used.add(at)
        if at < 0:
            raise ValueError
        return _padded(_verb(verb, flags, precision, arguments[at]), flags, int(width or 0))

    if "%" in _VERB.sub("", _text(form)):
        raise ValueError
    result = _VERB.sub(shown, _text(form))
    if len(used) != len(arguments):
        raise ValueError
    return result


def _verb(verb: str, flags: str, precision: str | None, value: Any) -> str:
    if verb == "v":
        if isinstance(value, list | dict | None):
            return _jsonencode(value)
        return _text(value)
    if verb in "sq":
        whole = _text(value)[: int(precision)] if precision else _text(value)
        return whole if verb == "s" else _jsonencode(whole)
    if verb == "t":
        return str(_truth(value)).lower()
    sign = "+" if "+" in flags else " " if " " in flags else ""
    if verb in "dxXob":
        return format(_whole(value), sign + ("#" if "#" in flags else "") + verb)
    if verb in "feEgG":
        return format(float(_number(value)), f"{sign}.{precision or 6}{verb}")
    raise ValueError


def _padded(shown: str, flags: str, width: int) -> str:
    if "-" in flags:
        return shown.ljust(width)
    if "0" in flags:
        sign = shown[:1] if shown[:1] in "+-" else ""
        return sign + shown[len(sign) :].rjust(width - len(sign), "0")
    return shown.rjust(width)


def _formatlist(form: Any, *arguments: Any) -> list[str]:
    lengths = {len(each) for each in arguments if isinstance(each, list)}
    if len(lengths) > 1:
        raise ValueError
    count = lengths.pop() if lengths else 1
    return [_format(form, *(each[at] if isinstance(each, list) else each for each in arguments)) for at in range(count)]


def _indent(spaces: Any, value: Any) -> str:
    count = _whole(spaces)
    if not 0 <= count <= _LARGEST_POWER:
        raise ValueError
    return _text(value).replace("\n", "\n" + " " * count)


def _replace(value: Any, old: Any, new: Any) -> str:
    whole, search, by = _text(value), _text(old), _text(new)
    if whole.count(search) * len(by) > 16 * _MOST:
        raise ValueError
    return whole.replace(search, by)


def _join(separator: Any, *lists: Any) -> str:
    return _text(separator).join(_text(value) for each in lists for value in _list(each))


def _title(value: Any) -> str:
    return re.sub(r"(^|[^\w])(\w)", lambda match: match[1] + match[2].upper(), _text(value))


def _hex(name: str) -> Callable[[Any], str]:
    def digest(value: Any) -> str:
        # Imported late, as few files need it.
        import hashlib

        return hashlib.new(name, _text(value).encode(), usedforsecurity=False).hexdigest()

    return digest


def _index(values: Any, value: Any) -> Decimal:
    found = next((at for at, each in enumerate(_list(values)) if equal(each, value)), None)
    return _fail() if found is None else Decimal(found)


def _sum(*values: Any) -> Decimal:
    if len(values) != 2:
        raise TypeError
    return _number(values[0]) + _number(values[1])


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "absolute": lambda value: abs(_number(value)),
    "add": _sum,
    "and": lambda left, right: _truth(left) and _truth(right),
    "base64decode": lambda value: base64.b64decode(_text(value), validate=True).decode(),
    "base64encode": lambda value: base64.b64encode(_text(value).encode()).decode(),
    "basename": lambda value: posixpath.basename(_text(value).rstrip("/")) or ("/" if value else "."),
    "ceil": lambda value: _number(value).to_integral_value(ROUND_CEILING),
    "chomp": lambda value: _text(value).rstrip("\r\n"),
    "chunklist": _chunks,
    "coalesce": _coalesce,
    "coalescelist": _coalescelist,
    "compact": lambda values: [value for value in _list(values) if value not in (None, "")],
    "concat": lambda *lists: [value for each in lists for value in _list(each)],
    "contains": lambda values, value: any(equal(each, value) for each in _list(values)),
    "csvdecode": _csvdecode,
    "dirname": lambda value: posixpath.dirname(_text(value)) or ".",
    "distinct": lambda values: _distinct(_list(values)),
    "divide": lambda left, right: _number(left) / _number(right),
    "element": _element,
    "equal": equal,
    "flatten": _flatten,
    "floor": lambda value: _number(value).to_integral_value(ROUND_FLOOR),
    "format": _format,
    "formatlist": _formatlist,
    "greaterthan": lambda left, right: _number(left) > _number(right),
    "greaterthanorequalto": lambda left, right: _number(left) >= _number(right),
    "hasindex": lambda whole, key: key in whole if isinstance(whole, dict) else 0 <= _whole(key) < len(_list(whole)),
    "indent": _indent,
    "index": lambda whole, key: _object(whole)[key] if isinstance(whole, dict) else _list(whole)[_whole(key)],
    "indexof": _index,
    "int": lambda value: Decimal(int(_number(value))),
    "join": _join,
    "jsondecode": _jsondecode,
    "jsonencode": _jsonencode,
    "keys": lambda whole: sorted(_object(whole)),
    "length": lambda value: Decimal(len(value)) if isinstance(value, list | dict) else _fail(),
    "lessthan": lambda left, right: _number(left) < _number(right),
    "lessthanorequalto": lambda left, right: _number(left) <= _number(right),
    "log": lambda value, base: Decimal(repr(math.log(_number(value)) / math.log(_number(base)))),
    "lookup": _lookup,
    "lower": lambda value: _text(value).lower(),
    "max": lambda *values: max(map(_number, values)),
    "md5": _hex("md5"),
    "merge": _merge,
    "min": lambda *values: min(map(_number, values)),
    "modulo": lambda left, right: _number(left) % _number(right),
    "multiply": lambda left, right: _number(left) * _number(right),
    "negate": lambda value: -_number(value),
    "not": lambda value: not _truth(value),
    "notequal": lambda left, right: not equal(left, right),
    "or": lambda left, right: _truth(left) or _truth(right),
    "parseint": _parseint,
    "pow": _pow,
    "range": _range,
    "regex": _regex,
    "regex_replace": _regex_replace,
    "regexall": _regexall,
    "replace": _replace,
    "reverse": lambda value: _text(value)[::-1],
    "reverselist": lambda values: _list(values)[::-1],
    "sanitize": lambda value: re.sub(r"[^a-zA-Z0-9_-]", "_", _text(value)),
    "semvercmp": lambda version, constraint: satisfies(_text(version), _text(constraint)),
    "sethaselement": lambda values, value: any(equal(each, value) for each in _list(values)),
    "setintersection": _setintersection,
    "setproduct": _setproduct,
    "setsubtract": _setsubtract,
    "setsymmetricdifference": _setsymmetricdifference,
    "setunion": lambda *lists: as_set([value for each in lists for value in _list(each)]),
    "sha1": _hex("sha1"),
    "sha256": _hex("sha256"),
    "sha512": _hex("sha512"),
    "signum": lambda value: Decimal((_number(value) > 0) - (_number(value) < 0)),
    "slice": _slice,
    "sort": lambda values: sorted(map(_text, _list(values))),
    "split": lambda separator, value: _text(value).split(_text(separator)) if separator else list(_text(value)),
    "strlen": lambda value: Decimal(len(_text(value))),
    "substr": _substr,
    "subtract": lambda left, right: _number(left) - _number(right),
    "title": _title,
    "trim": lambda value, signs: _text(value).strip(_text(signs)),
    "trimprefix": lambda value, prefix: _text(value).removeprefix(_text(prefix)),
    "trimspace": lambda value: _text(value).strip(),
    "trimsuffix": lambda value, suffix: _text(value).removesuffix(_text(suffix)),
    "upper": lambda value: "".join(one.upper() if len(one.upper()) == 1 else one for one in _text(value)),
    "urlencode": lambda value: quote_plus(_text(value)),
    "values": lambda whole: [_object(whole)[key] for key in sorted(whole)],
    "zipmap": lambda keys, values: dict(zip(map(_text, _list(keys)), _list(values), strict=True)),
}

"""HCL expressions: names, literals, operators, and the functions that variable conditions use.

Grammar and meaning: hclsyntax/spec.md (hashicorp/hcl). Other functions, splats and `for` are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from prefect_slipway.flows.bake.bounds import made
from prefect_slipway.flows.bake.fields import text
from prefect_slipway.infra.domain.errors import InvalidOption

Lookup = Callable[[str], Any]
Expression = Callable[[Lookup], Any]
"""Worked out when it is given what names stand for."""

CONVERT = "use plain values, or resolve them with `docker buildx bake --print > docker-bake.json`"

_BLANK = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERAL = re.compile(r"[^\"\\$%]+|\\[nrt\"\\]|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\$\$\{|%%\{|[$%](?!\{)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_WORDS = {"true": True, "false": False, "null": None}
# From weak to strong.
_OPERATORS = (("||",), ("&&",), ("==", "!="), ("<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"))
_DEEPEST = 50


def parse(where: str, source: str, position: int) -> tuple[Expression, int]:
    """The expression that begins at `position`, and where it ends. Raises InvalidOption, as an Expression does."""
    parser = _Parser(where, source, position)
    return parser.conditional(), parser.at


def joined(where: str, parts: list[Any]) -> str:
    """A template's parts as one text. Raises InvalidOption for a list, an object and null."""
    for part in parts:
        if isinstance(part, list | dict) or part is None:
            raise InvalidOption(f"{where}: a list, an object or null cannot be part of a string")
    return made(where, "".join(text(where, part) for part in parts))


class _Parser:
    def __init__(self, where: str, source: str, at: int) -> None:
        self._where = where
        self._source = source
        self.at = at
        self._depth = 0

    def conditional(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise InvalidOption(f"{self._where}: an expression is nested more than {_DEEPEST} deep")
        condition = self._operation(0)
        if self._take("?"):
            then = self.conditional()
            self._need(":")
            other = self.conditional()
            chosen = condition
            condition = lambda lookup: (then if self._truth(chosen(lookup)) else other)(lookup)  # noqa: E731
        self._depth -= 1
        return condition

    def _operation(self, level: int) -> Expression:
        if level == len(_OPERATORS):
            return self._unary()
        left = self._operation(level + 1)
        while (sign := next((each for each in _OPERATORS[level] if self._take(each)), None)) is not None:
            left = self._binary(sign, left, self._operation(level + 1))
        return left

    def _unary(self) -> Expression:
        if self._take("!"):
            operand = self._unary()
            return lambda lookup: not self._truth(operand(lookup))
        if self._take("-"):
            operand = self._unary()
            return lambda lookup: -self._number(operand(lookup))
        return self._accessed(self._primary())

    def _primary(self) -> Expression:
        if self._take("("):
            inner = self.conditional()
            self._need(")")
            return inner
        if self._take("["):
            items = self._list("]")
            return lambda lookup: [item(lookup) for item in items]
        if self._take('"'):
            return self._template()
        if (number := self._match(_NUMBER)) is not None:
            return _constant(Decimal(number))
        name = self._match(_NAME)
        if name is None:
            raise self._unreadable()
        if name in _WORDS:
            return _constant(_WORDS[name])
        if self._take("("):
            return self._call(name, self._list(")"))
        return lambda lookup: lookup(name)

    def _accessed(self, value: Expression) -> Expression:
        while True:
            if self._take("."):
                key = self._match(_NAME) or self._match(_NUMBER)
                if key is None:
                    raise self._unreadable()
                value = self._item(value, _constant(key))
            elif self._take("["):
                index = self.conditional()
                self._need("]")
                value = self._item(value, index)
            else:
                return value

    def _item(self, value: Expression, index: Expression) -> Expression:
        def item(lookup: Lookup) -> Any:
            whole, key = value(lookup), index(lookup)
            try:
                return whole[int(key)] if isinstance(whole, list) else whole[key]
            except (LookupError, TypeError, ValueError):
                raise InvalidOption(f"{self._where}: {self._source!r} does not exist") from None

        return item

    def _list(self, end: str) -> list[Expression]:
        items: list[Expression] = []
        while not self._take(end):
            items.append(self.conditional())
            if not self._take(","):
                self._need(end)
                break
        return items

    def _template(self) -> Expression:
        """A text in quotes, behind the first one."""
        parts: list[Expression] = []
        while not self._source.startswith('"', self.at):
            if self._source.startswith("${", self.at):
                self.at += 2
                parts.append(self.conditional())
                self._need("}")
            elif (match := _LITERAL.match(self._source, self.at)) is not None:
                self.at = match.end()
                parts.append(_constant(_unescaped(match[0])))
            else:
                raise self._unreadable()
        self.at += 1
        return lambda lookup: (
            parts[0](lookup) if len(parts) == 1 else joined(self._where, [part(lookup) for part in parts])
        )

    def _binary(self, sign: str, left: Expression, right: Expression) -> Expression:
        if sign in {"&&", "||"}:
            return lambda lookup: (
                self._truth(right(lookup)) if self._truth(left(lookup)) is (sign == "&&") else sign == "||"
            )
        if sign in {"==", "!="}:
            return lambda lookup: _equal(left(lookup), right(lookup)) is (sign == "==")
        return lambda lookup: self._calculated(sign, self._number(left(lookup)), self._number(right(lookup)))

    def _calculated(self, sign: str, left: Decimal, right: Decimal) -> Any:
        try:
            return _CALCULATIONS[sign](left, right)
        except DecimalException:
            raise InvalidOption(f"{self._where}: {self._source!r} cannot be computed") from None

    def _call(self, name: str, arguments: list[Expression]) -> Expression:
        if name == "can":
            return lambda lookup: all(_works(argument, lookup) for argument in arguments)
        function = _FUNCTIONS.get(name)
        if function is None:
            raise InvalidOption(
                f"{self._where}: {self._source!r} uses the HCL function {name}, which is not supported", action=CONVERT
            )

        def call(lookup: Lookup) -> Any:
            values = [argument(lookup) for argument in arguments]
            try:
                return function(*values)
            except (TypeError, ValueError):
                raise InvalidOption(
                    f"{self._where}: {self._source!r} gives the function {name} arguments that it cannot take"
                ) from None

        return call

    def _truth(self, value: Any) -> bool:
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise InvalidOption(f"{self._where}: {self._source!r} needs true or false, not {value!r}")
        return value

    def _number(self, value: Any) -> Decimal:
        try:
            if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
                return Decimal(value)
        except DecimalException:
            pass
        raise InvalidOption(f"{self._where}: {self._source!r} needs a number, not {value!r}")

    def _take(self, sign: str) -> bool:
        start = self._behind_blanks()
        if not self._source.startswith(sign, start):
            return False
        self.at = start + len(sign)
        return True

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unreadable()

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._source, self._behind_blanks())
        if match is None:
            return None
        self.at = match.end()
        return match[0]

    def _behind_blanks(self) -> int:
        match = _BLANK.match(self._source, self.at)
        return match.end() if match is not None else self.at

    def _unreadable(self) -> InvalidOption:
        return InvalidOption(f"{self._where}: {self._source!r} is not a supported expression", action=CONVERT)


def _constant(value: Any) -> Expression:
    return lambda lookup: value


def _character(code: int) -> str:
    """As Go encodes it: what is no character becomes the replacement character."""
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"


def _unescaped(part: str) -> str:
    if part.startswith("\\"):
        return _ESCAPES.get(part[1]) or _character(int(part[2:], 16))
    return part[1:] if part in {"$${", "%%{"} else part


def _equal(left: Any, right: Any) -> bool:
    """Of two types nothing is equal; all numbers are of one."""
    numbers = [isinstance(each, int | Decimal) and not isinstance(each, bool) for each in (left, right)]
    return left == right if all(numbers) or type(left) is type(right) else False


def _works(argument: Expression, lookup: Lookup) -> bool:
    try:
        argument(lookup)
    except InvalidOption:
        return False
    return True


def _regex(pattern: str, value: str) -> Any:
    found = _regexall(pattern, value)
    if not found:
        raise ValueError
    return found[0]


def _regexall(pattern: str, value: str) -> list[Any]:
    # As in Go, and unlike in Python, no pattern takes more time than its text is long.
    import re2

    try:
        matches = list(re2.finditer(pattern, value))
    except re2.error as error:
        raise ValueError from error
    return [match.groupdict() or list(match.groups()) or match[0] for match in matches]


_CALCULATIONS: dict[str, Callable[[Decimal, Decimal], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": lambda left, right: left % right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "length": lambda value: len(value) if isinstance(value, list | dict) else _refuse(),
    "strlen": lambda value: len(value) if isinstance(value, str) else _refuse(),
    "contains": lambda values, value: any(_equal(each, value) for each in values),
    "regex": _regex,
    "regexall": _regexall,
}


def _refuse() -> Any:
    raise TypeError

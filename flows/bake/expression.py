"""HCL expressions and templates: names, literals, operators, functions, `for`, splats, directives, heredocs.

Grammar and meaning: hclsyntax/spec.md (hashicorp/hcl).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any, NamedTuple

from prefect_slipway.flows.bake.bounds import made, spent, too_deep
from prefect_slipway.flows.bake.fields import text
from prefect_slipway.flows.bake.functions import FUNCTIONS, equal
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.text import shortened

Lookup = Callable[[str], Any]
"""What a name stands for; of `NAME()` a function that the file defines."""

Expression = Callable[[Lookup], Any]
"""Worked out when it is given what names stand for."""

CONVERT = "use plain values, or resolve them with `docker buildx bake --print > docker-bake.json`"

NAME = re.compile(r"[A-Za-z_][\w-]*")

_BLANK = re.compile(r"(?:\s|#[^\n]*|//[^\n]*|/\*(?s:.*?)\*/)*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPED = re.compile(r"[^\"\\$%\n]+|\\[nrt\"\\]|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\$\$\{|%%\{|[$%](?!\{)")
_PLAIN = re.compile(r"[^$%]+|\$\$\{|%%\{|[$%](?!\{)")
_HEREDOC = re.compile(r"<<(-?)([A-Za-z_][\w-]*)[ \t]*\r?\n")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_WORDS = {"true": True, "false": False, "null": None}
# From weak to strong.
_OPERATORS = (("||",), ("&&",), ("==", "!="), ("<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"))
_DEEPEST = 50
_SHOWN = 80
# What a step of a loop counts for: it costs more time than a character.
_OF_AN_ITEM = 64


def parse(where: str, source: str, position: int = 0) -> tuple[Expression, int]:
    """The expression that begins at `position`, and where it ends. Raises InvalidOption, as an Expression does."""
    parser = _Parser(where, source, position)
    try:
        return parser.conditional(), parser.at
    except RecursionError:
        raise too_deep(where) from None


def parse_template(where: str, source: str) -> Expression:
    """A whole text with `${…}` and `%{…}`, without escapes by backslashes. Raises as `parse` does."""
    parser = _Parser(where, source, 0)
    try:
        return _value_of(where, parser.parts(_PLAIN, lambda: parser.at == len(source)).found)
    except RecursionError:
        raise too_deep(where) from None


def blank(source: str, position: int) -> int:
    """Where white space and comments end."""
    match = _BLANK.match(source, position)
    return match.end() if match is not None else position


class _Parts(NamedTuple):
    """Of a template: literals as texts. `stop`: the directive that ended them; `trim`: it had a `~` at its end."""

    found: list[str | Expression]
    stop: str = ""
    trim: bool = False


def _value_of(where: str, parts: Sequence[str | Expression]) -> Expression:
    """Of only one expression its value as it is, also a list or a boolean."""
    if len(parts) == 1 and not isinstance(only := parts[0], str):
        return only

    def joined(lookup: Lookup) -> str:
        values = [part if isinstance(part, str) else part(lookup) for part in parts]
        if any(isinstance(value, list | dict) or value is None for value in values):
            raise InvalidOption(f"{where}: a list, an object or null cannot be part of a string")
        return made(where, "".join(text(where, value) for value in values))

    return joined


class _Parser:
    def __init__(self, where: str, source: str, at: int) -> None:
        self._where = where
        self._source = source
        self.at = self._start = at
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

    def parts(self, literal: re.Pattern[str], ended: Callable[[], bool], *stops: str, trim: bool = False) -> _Parts:
        """A template's, until `ended`, or to one of the directives `stops`."""
        found: list[str | Expression] = []
        while not ended():
            sign = self._source[self.at : self.at + 2]
            if sign in {"${", "%{"}:
                self.at += 2
                if self._source.startswith("~", self.at):
                    self.at += 1
                    if found and isinstance(last := found[-1], str):
                        found[-1] = last.rstrip()
                if sign == "${":
                    found.append(self.conditional())
                    trim = self._close()
                    continue
                word = self._match(NAME) or ""
                if word in stops:
                    return _Parts(found, word, self._close())
                expression, trim = self._directive(word, literal, ended)
                found.append(expression)
            elif (match := literal.match(self._source, self.at)) is not None:
                self.at = match.end()
                part = _unescaped(match[0], backslash=literal is _ESCAPED)
                found.append(part.lstrip() if trim else part)
                trim = trim and not part.strip()
            else:
                raise self._unreadable()
        if stops:
            raise InvalidOption(f"{self._where}: {self._source!r} lacks %{{{stops[-1]}}}")
        return _Parts(found)

    def _directive(self, word: str, literal: re.Pattern[str], ended: Callable[[], bool]) -> tuple[Expression, bool]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise InvalidOption(f"{self._where}: a template is nested more than {_DEEPEST} deep")
        if word == "if":
            condition = self.conditional()
            then = self.parts(literal, ended, "else", "endif", trim=self._close())
            last, other = then, self._text([])
            if then.stop == "else":
                last = self.parts(literal, ended, "endif", trim=then.trim)
                other = self._text(last.found)
            first = self._text(then.found)
            result: Expression = lambda lookup: (first if self._truth(condition(lookup)) else other)(lookup)  # noqa: E731
        elif word == "for":
            names, whole = self._loop()
            last = self.parts(literal, ended, "endfor", trim=self._close())
            body = self._text(last.found)
            result = lambda lookup: made(  # noqa: E731
                self._where, "".join(body(inner) for inner in self._each(names, whole, lookup))
            )
        else:
            raise InvalidOption(f"{self._where}: {self._source!r} has the directive {word!r}, which does not exist")
        self._depth -= 1
        return result, last.trim

    def _text(self, parts: list[str | Expression]) -> Expression:
        return _value_of(self._where, ["", *parts])

    def _close(self) -> bool:
        """The end of a sequence; whether it takes the white space that follows."""
        trim = self._take("~")
        if not self._source.startswith("}", self.at if trim else blank(self._source, self.at)):
            raise InvalidOption(f"{self._where}: {self._source!r} has a `${{` or `%{{` that is not closed")
        self._need("}")
        return trim

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
            if self._word("for"):
                return self._for("]")
            items = self._list("]")
            return lambda lookup: [item(lookup) for item in items]
        if self._take("{"):
            return self._for("}") if self._word("for") else self._object()
        if self._take('"'):
            quoted = self.parts(_ESCAPED, lambda: self._source.startswith('"', self.at))
            self.at += 1
            return _value_of(self._where, quoted.found or [""])
        if (heredoc := _HEREDOC.match(self._source, blank(self._source, self.at))) is not None:
            return self._heredoc(heredoc)
        if (number := self._match(_NUMBER)) is not None:
            return _constant(Decimal(number))
        name = self._match(NAME)
        if name is None:
            raise self._unreadable()
        if name in _WORDS:
            return _constant(_WORDS[name])
        # On the same line: on the next one it is an object's key.
        if self._source[self.at :].lstrip(" \t").startswith("("):
            self._need("(")
            return self._call(name)
        return lambda lookup: lookup(name)

    def _heredoc(self, head: re.Match[str]) -> Expression:
        end = re.compile(rf"^[ \t]*{head[2]}[ \t]*$", re.MULTILINE).search(self._source, head.end())
        if end is None:
            raise InvalidOption(f"{self._where}: the text behind <<{head[2]} has no end")
        self.at = end.end()
        body = self._source[head.end() : end.start()]
        return parse_template(self._where, textwrap.dedent(body) if head[1] else body)

    def _object(self) -> Expression:
        pairs: list[tuple[Expression, Expression]] = []
        while not self._take("}"):
            start = blank(self._source, self.at)
            name = NAME.match(self._source, start)
            if name is not None and self._source[blank(self._source, name.end())] in "=:":
                self.at, key = name.end(), _constant(name[0])
            else:
                key = self.conditional()
            if not self._take(":"):
                self._need("=")
            pairs.append((key, self.conditional()))
            self._take(",")
        return lambda lookup: {text(self._where, key(lookup)): value(lookup) for key, value in pairs}

    def _loop(self) -> tuple[list[str], Expression]:
        names = [self._match(NAME) or ""]
        if self._take(","):
            names.append(self._match(NAME) or "")
        if "" in names or not self._word("in"):
            raise self._unreadable()
        return names, self.conditional()

    def _for(self, end: str) -> Expression:
        names, whole = self._loop()
        self._need(":")
        key = self.conditional() if end == "}" else None
        if key is not None:
            self._need("=>")
        value = self.conditional()
        grouped = key is not None and self._take("...")
        condition = self.conditional() if self._word("if") else None
        self._need(end)

        def chosen(lookup: Lookup) -> Iterator[Lookup]:
            for inner in self._each(names, whole, lookup):
                if condition is None or self._truth(condition(inner)):
                    yield inner

        if key is None:
            return lambda lookup: [value(inner) for inner in chosen(lookup)]

        def made_object(lookup: Lookup) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for inner in chosen(lookup):
                name = text(self._where, key(inner))
                if grouped:
                    found.setdefault(name, []).append(value(inner))
                elif name in found:
                    raise InvalidOption(f"{self._where}: `for` makes the key {name!r} twice", action="group with ...")
                else:
                    found[name] = value(inner)
            return found

        return made_object

    def _each(self, names: list[str], whole: Expression, lookup: Lookup) -> Iterator[Lookup]:
        """A lookup for each of the items, in HCL's order."""
        items = whole(lookup)
        if isinstance(items, Mapping):
            pairs = [(key, items[key]) for key in sorted(items)]
        elif isinstance(items, list):
            pairs = [(Decimal(number), item) for number, item in enumerate(items)]
        else:
            raise InvalidOption(f"{self._where}: `for` needs a list or an object, not {items!r}")
        for pair in pairs:
            spent(self._where, _OF_AN_ITEM)
            known = dict(zip(names, pair[-len(names) :], strict=True))

            def inner(name: str, known: dict[str, Any] = known) -> Any:
                return known[name] if name in known else lookup(name)

            yield inner

    def _accessed(self, value: Expression) -> Expression:
        while True:
            start = blank(self._source, self.at)
            if self._source.startswith("...", start):
                return value
            if self._source.startswith((".*", "[*]"), start):
                full = self._source[start] == "["
                self.at = start + (3 if full else 2)
                value = self._splat(value, full=full)
            elif (after := self._access(value)) is not None:
                value = after
            else:
                return value

    def _access(self, value: Expression, *, index: bool = True) -> Expression | None:
        """One item of it; None where no more follows."""
        if self._take("."):
            key = self._match(NAME) or self._match(_NUMBER)
            if key is None:
                raise self._unreadable()
            return self._item(value, _constant(key))
        # An index begins on the same line.
        if index and self._source[self.at :].lstrip(" \t").startswith("["):
            self._need("[")
            found = self.conditional()
            self._need("]")
            return self._item(value, found)
        return None

    def _splat(self, value: Expression, *, full: bool) -> Expression:
        marker: list[Any] = [None]
        item: Expression = lambda lookup: marker[0]  # noqa: E731
        while (after := self._access(item, index=full)) is not None:
            item = after

        def each(lookup: Lookup) -> list[Any]:
            whole = value(lookup)
            found = []
            for one in whole if isinstance(whole, list) else [] if whole is None else [whole]:
                spent(self._where, _OF_AN_ITEM)
                marker[0] = one
                found.append(item(lookup))
            return found

        return each

    def _item(self, value: Expression, index: Expression) -> Expression:
        def item(lookup: Lookup) -> Any:
            whole, key = value(lookup), index(lookup)
            try:
                return whole[int(key)] if isinstance(whole, list) else whole[key]
            except (LookupError, TypeError, ValueError):
                raise InvalidOption(f"{self._where}: {self._shown} does not exist") from None

        return item

    def _list(self, end: str) -> list[Expression]:
        items: list[Expression] = []
        while not self._take(end):
            items.append(self.conditional())
            if not self._take(","):
                self._need(end)
                break
        return items

    def _binary(self, sign: str, left: Expression, right: Expression) -> Expression:
        if sign in {"&&", "||"}:
            return lambda lookup: (
                self._truth(right(lookup)) if self._truth(left(lookup)) is (sign == "&&") else sign == "||"
            )
        if sign in {"==", "!="}:
            return lambda lookup: equal(left(lookup), right(lookup)) is (sign == "==")
        return lambda lookup: self._calculated(sign, self._number(left(lookup)), self._number(right(lookup)))

    def _calculated(self, sign: str, left: Decimal, right: Decimal) -> Any:
        try:
            return _CALCULATIONS[sign](left, right)
        except DecimalException:
            raise InvalidOption(f"{self._where}: {self._shown} cannot be computed") from None

    def _call(self, name: str) -> Expression:
        arguments: list[Expression] = []
        spread = False
        while not self._take(")"):
            arguments.append(self.conditional())
            spread = self._take("...")
            if spread or not self._take(","):
                self._need(")")
                break
        if name == "can":
            return lambda lookup: all(_works(argument, lookup) for argument in arguments)
        if name == "try":
            return lambda lookup: self._first(arguments, lookup)

        def call(lookup: Lookup) -> Any:
            values = [argument(lookup) for argument in arguments]
            if spread:
                last = values.pop()
                if not isinstance(last, list):
                    raise InvalidOption(f"{self._where}: {self._shown}: only a list can be expanded by ...")
                values += last
            # What a function looks at counts as well: one that looks for each item of a list in a list takes its time.
            spent(self._where, sum(len(value) for value in values if isinstance(value, str | list | dict)))
            function = FUNCTIONS.get(name) or lookup(f"{name}()")
            try:
                result = function(*values)
            except (TypeError, ValueError, ArithmeticError, LookupError):
                raise InvalidOption(
                    f"{self._where}: {self._shown} gives the function {name} arguments that it cannot take"
                ) from None
            if isinstance(result, str | list | dict):
                spent(self._where, len(result))
            return result

        return call

    def _first(self, arguments: list[Expression], lookup: Lookup) -> Any:
        for argument in arguments:
            try:
                return argument(lookup)
            except InvalidOption:
                continue
        raise InvalidOption(f"{self._where}: {self._shown}: no argument of try can be computed")

    def _truth(self, value: Any) -> bool:
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise InvalidOption(f"{self._where}: {self._shown} needs true or false, not {value!r}")
        return value

    def _number(self, value: Any) -> Decimal:
        try:
            if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
                return Decimal(value)
        except DecimalException:
            pass
        raise InvalidOption(f"{self._where}: {self._shown} needs a number, not {value!r}")

    def _take(self, sign: str) -> bool:
        start = blank(self._source, self.at)
        if not self._source.startswith(sign, start):
            return False
        self.at = start + len(sign)
        return True

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unreadable()

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._source, blank(self._source, self.at))
        if match is None:
            return None
        self.at = match.end()
        return match[0]

    def _word(self, word: str) -> bool:
        match = NAME.match(self._source, blank(self._source, self.at))
        if match is None or match[0] != word:
            return False
        self.at = match.end()
        return True

    @property
    def _shown(self) -> str:
        """What is read, or of a file the part."""
        if "\n" not in self._source:
            return repr(self._source)
        return repr(shortened(" ".join(self._source[self._start : max(self.at, self._start + 1)].split()), _SHOWN))

    def _unreadable(self) -> InvalidOption:
        return InvalidOption(f"{self._where}: {self._shown} is not a supported expression", action=CONVERT)


def _constant(value: Any) -> Expression:
    return lambda lookup: value


def _character(code: int) -> str:
    """As Go encodes it: what is no character becomes the replacement character."""
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"


def _unescaped(part: str, *, backslash: bool) -> str:
    if backslash and part.startswith("\\"):
        return _ESCAPES.get(part[1]) or _character(int(part[2:], 16))
    return part[1:] if part in {"$${", "%%{"} else part


def _works(argument: Expression, lookup: Lookup) -> bool:
    try:
        argument(lookup)
    except InvalidOption:
        return False
    return True


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

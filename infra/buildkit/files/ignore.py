"""Patterns that pick paths, as BuildKit's daemon sends them: a gitignore-like list with `**` and `!`.

Semantics: moby/patternmatcher (`patternmatcher.go`) and Go's filepath.Match. Paths are relative, separated by `/`,
and `str`; bytes that are not UTF-8 stand in them as surrogates (`os.fsdecode`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable

from prefect_slipway.infra.domain.globs import ANY, NO_SLASH, Folders, Loop, One, Part, glob, literal

SPECIAL = frozenset("*[]?^\\")


class PatternError(ValueError):
    """A pattern that Go's filepath.Match refuses as well."""


class Pattern:
    """One line of a list. `negative`: it started with `!`. `text`: cleaned, without the `!`."""

    def __init__(self, text: str) -> None:
        self.negative = text.startswith("!")
        self.text = text[1:] if self.negative else text
        if not self.text:
            raise PatternError('the pattern "!" excludes nothing')
        self.matches = _compile(self.text)

    @property
    def fixed_part(self) -> str:
        """The text without a glob at its end (`/*`, `/**`): literal if it holds no character of SPECIAL."""
        return self.text.removesuffix("/**").removesuffix("/*")


class PatternList:
    """An ordered list: the last pattern that matches a path, or one of its parents, decides."""

    def __init__(self, patterns: Iterable[str]) -> None:
        stripped = (text.strip() for text in patterns)
        self.patterns = tuple(Pattern(_clean(text)) for text in stripped if text)

    def match(self, path: str, parent: tuple[bool, ...] | None) -> tuple[bool, tuple[bool, ...]]:
        """Whether the list picks `path`, and what each pattern said (for the path's children).

        `parent`: what the patterns said of the folder that holds `path`, None at the top.
        """
        picked = False
        said = []
        for index, pattern in enumerate(self.patterns):
            hit = parent is not None and parent[index]
            # A pattern that could not change the outcome is not tried, and its children do not inherit it.
            if not hit and pattern.negative == picked:
                hit = pattern.matches(path)
            if hit:
                picked = not pattern.negative
            said.append(hit)
        return picked, tuple(said)

    def picks(self, path: str) -> bool:
        """Whether the list picks `path` itself or through one of its parents."""
        said: tuple[bool, ...] | None = None
        picked = False
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            picked, said = self.match("/".join(parts[:depth]), said)
        return picked

    def may_pick_below(self, folder: str, *, negative: bool) -> bool:
        """Whether a pattern (of those that are `negative` or not) names something below `folder`, by its fixed part."""
        prefix = folder + "/"
        return any(
            (pattern.fixed_part + "/").startswith(prefix) for pattern in self.patterns if pattern.negative == negative
        )

    def all_fixed(self, *, negative: bool) -> bool:
        """Whether all those patterns are literal but for a glob at their end."""
        return not any(SPECIAL & set(pattern.fixed_part) for pattern in self.patterns if pattern.negative == negative)


def _clean(text: str) -> str:
    # Go's filepath.Clean; POSIX lets two leading slashes stand.
    cleaned = posixpath.normpath(text)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _compile(text: str) -> Callable[[str], bool]:
    check_syntax(text)
    if not SPECIAL & set(text):
        return text.__eq__
    return glob(_parts(text))


def _parts(text: str) -> list[Part]:
    """What a pattern consists of: `**` crosses separators but not newlines, `*` the other way round."""
    parts: list[Part] = []
    position = 0
    while position < len(text):
        char = text[position]
        if text.startswith("**", position):
            start, position = position, position + 2
            if text.startswith("/", position):
                position += 1
            parts.append(_double_star(text, start, position))
            continue
        if char == "*":
            parts.append(Loop(NO_SLASH))
        elif char == "?":
            parts.append(One(NO_SLASH))
        elif char == "[":
            end, expression = _char_class(text, position)
            parts.append(One(expression))
            position = end
            continue
        elif char == "\\":
            position += 1
            if position == len(text):
                # moby/patternmatcher does not escape it, and it removes the `$` that would end the expression.
                parts += [*literal("$"), Loop(ANY)]
            else:
                parts += literal(text[position])
        else:
            parts += literal(char)
        position += 1
    return parts


def _double_star(text: str, start: int, end: int) -> Part:
    rest = text[end:]
    literal_before = not SPECIAL & set(text[:start])
    if not rest:
        # Nothing special before it: a plain prefix, which newlines do not end.
        return Loop(ANY if literal_before else ".")
    if start == 0 and not SPECIAL & set(rest):
        # `**/name` and `**name`: a plain suffix, on a component's border if there is a slash.
        return Folders(ANY) if text[end - 1] == "/" else Loop(ANY)
    return Folders(".")


def check_syntax(text: str) -> None:
    """Raise PatternError where filepath.Match(text, ".") finds a bad pattern: an open or empty `[`, a `\\` at the end.

    As it does, what stands behind a `*` is not looked at once "." does not match what stands before.
    """
    name, position = ".", 0
    while position < len(text):
        star = text.startswith("*", position)
        while text.startswith("*", position):
            position += 1
        end = _chunk_end(text, position)
        chunk, position = text[position:end], end
        if star and not chunk:
            return
        starts = range(len(name) + 1) if star else range(1)
        rests = [rest for start in starts if (rest := _match_chunk(chunk, name[start:])) is not None]
        fitting = [rest for rest in rests if not rest or position < len(text)]
        if not fitting:
            return
        name = fitting[0]


def _chunk_end(text: str, position: int) -> int:
    """Where the part without a `*` that begins at `position` ends."""
    inside = False
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif char == "[":
            inside = True
        elif char == "]":
            inside = False
        elif char == "*" and not inside:
            break
        position += 1
    return min(position, len(text))


def _match_chunk(chunk: str, name: str) -> str | None:
    """What is left of `name` when `chunk`, which has no `*`, matches its begin; None: it does not. Raises
    PatternError."""
    rest: str | None = name
    position = 0
    while position < len(chunk):
        char, step = chunk[position], position + 1
        fits: Callable[[str], bool] = char.__eq__
        if char == "[":
            step, expression = _char_class(chunk, position)
            fits = re.compile(expression, re.DOTALL).fullmatch  # type: ignore[assignment]
        elif char == "?":
            fits = "/".__ne__
        elif char == "\\":
            if step == len(chunk):
                raise PatternError(f"the pattern {chunk!r} ends with a backslash")
            fits, step = chunk[step].__eq__, step + 1
        rest = rest[1:] if rest and fits(rest[0]) else None
        position = step
    return rest


def _char_class(text: str, start: int) -> tuple[int, str]:
    """Read `[...]` at `start`: the position after it and its regular expression."""
    position = start + 1
    negated = text.startswith("^", position)
    position += negated
    ranges: list[str] = []
    while not (ranges and text.startswith("]", position)):
        low, position = _class_char(text, position)
        high = low
        if text.startswith("-", position):
            high, position = _class_char(text, position + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            raise PatternError(f"the pattern {text!r} has a range whose end comes before its start")
    return position + 1, f"[{'^' if negated else ''}{''.join(ranges)}]"


def _class_char(text: str, position: int) -> tuple[str, int]:
    if position < len(text) and text[position] == "\\":
        position += 1
    elif text[position : position + 1] in {"-", "]"}:
        position = len(text)
    if position >= len(text):
        raise PatternError(f"the pattern {text!r} has a [ that is not closed correctly")
    return text[position], position + 1

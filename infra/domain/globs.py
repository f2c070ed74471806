"""Globs that take linear time: a pattern and the paths it is tried on may both be a stranger's, and what backtracks, as
Python's `re` does, then takes for ever.

A glob is a sequence of `One`, `Loop` and `Folders`, of which each dialect makes its own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

ANY = "(?s:.)"
NO_SLASH = "[^/]"

# Steps that a regular expression may take on a path: a millisecond, and more than any usual path needs.
_FEW_STEPS = 100_000


class One(NamedTuple):
    """One character, by its regular expression."""

    expression: str


class Loop(NamedTuple):
    """Any number of such characters."""

    expression: str


class Folders(NamedTuple):
    """Nothing, or any number of such characters and a slash."""

    expression: str


Part = One | Loop | Folders


def literal(text: str) -> list[Part]:
    """The characters of a text."""
    return [One(re.escape(char)) for char in text]


def glob(parts: Sequence[Part]) -> Callable[[str], bool]:
    """Whether a path matches as a whole."""
    regular = re.compile("".join(_REGULAR[type(part)].format(part.expression) for part in parts))
    # Each loop but one may try every place where the one before it ends.
    nested = max(0, sum(not isinstance(part, One) for part in parts) - 1)
    automaton = functools.cache(lambda: _Automaton(parts))

    def matches(path: str) -> bool:
        if len(path) ** nested <= _FEW_STEPS:
            return regular.fullmatch(path) is not None
        return automaton().matches(path)

    return matches


_REGULAR = {One: "{}", Loop: "{}*", Folders: "(?:{}*/)?"}


class _Automaton:
    """All states at once, a bit each, so that every character is looked at once (Thompson's construction)."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._steps: list[tuple[re.Pattern[str], int]] = []
        self._loops: list[tuple[re.Pattern[str], int]] = []
        self._leaves = self._skips = 0
        self._known: dict[str, tuple[int, int]] = {}
        state = 1
        for part in parts:
            if isinstance(part, Folders):
                # One state enters or skips the two behind it.
                self._leaves |= state
                self._skips |= state
                state <<= 1
            if not isinstance(part, One):
                self._loops.append((re.compile(part.expression), state))
                self._leaves |= state
                state <<= 1 if isinstance(part, Folders) else 0
            if isinstance(part, One | Folders):
                expression = part.expression if isinstance(part, One) else "/"
                self._steps.append((re.compile(expression), state))
            state <<= 1
        self._end = state

    def matches(self, path: str) -> bool:
        states = self._spread(1)
        for char in path:
            if char not in self._known:
                self._known[char] = (_fitting(self._steps, char), _fitting(self._loops, char))
            steps, loops = self._known[char]
            states = self._spread((states & steps) << 1 | states & loops)
            if not states:
                return False
        return bool(states & self._end)

    def _spread(self, states: int) -> int:
        """With the states that are reached without a character."""
        while (more := states | (states & self._leaves) << 1 | (states & self._skips) << 3) != states:
            states = more
        return states


def _fitting(expressions: Sequence[tuple[re.Pattern[str], int]], char: str) -> int:
    return sum(state for expression, state in expressions if expression.fullmatch(char))

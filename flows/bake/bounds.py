"""Limits for files from others: a few lines can expand to more than any memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect_slipway.infra.domain.errors import InvalidOption

MOST_BYTES = 4 << 20
"""Of a file."""

MOST_LEVELS = 100
"""Of objects in objects, of targets that inherit from targets, of groups in groups."""

MOST_VALUES = 100_000
"""Of a file, and of what its parts inherit from each other."""

_MOST_CHARACTERS = 16 << 20
_ACTION = "simplify it, or split it into several files"

_left: ContextVar[list[int] | None] = ContextVar("characters left", default=None)


def check_document(name: str, document: Any, plain: Callable[[Any], Any] = lambda value: value) -> None:
    """Check that a document is neither nested too deep nor, with its aliases expanded, too large.

    `plain`: a value without what it is wrapped in. Raises InvalidOption.
    """
    values = 0
    waiting = [iter([document])]
    while waiting:
        value = next(waiting[-1], _END)
        if value is _END:
            waiting.pop()
            continue
        values += 1
        check_values(name, values)
        value = plain(value)
        if isinstance(value, dict | list):
            if len(waiting) > MOST_LEVELS:
                raise too_deep(name)
            waiting.append(iter(value.values() if isinstance(value, dict) else value))


_END = object()


def check_values(where: str, number: int) -> None:
    """Check the number of values in a file. Raises InvalidOption."""
    if number > MOST_VALUES:
        raise InvalidOption(f"{where} contains more than {MOST_VALUES} values", action=_ACTION)


def too_deep(where: str) -> InvalidOption:
    """The error for values that are nested, or refer to each other, too deep."""
    return InvalidOption(f"{where} is nested more than {MOST_LEVELS} deep", action=_ACTION)


@contextmanager
def bounded() -> Iterator[None]:
    """Within: limit the total size of the texts that templates and variables produce."""
    token = _left.set([_MOST_CHARACTERS])
    try:
        yield
    finally:
        _left.reset(token)


def made(where: str, text: str) -> str:
    """Count a text that a template or a variable produced, and return it. Raises InvalidOption."""
    spent(where, len(text))
    return text


def spent(where: str, number: int) -> None:
    """Count characters or values that an expression makes. Raises InvalidOption."""
    left = _left.get()
    if left is not None:
        left[0] -= number
        if left[0] < 0:
            raise InvalidOption(
                f"{where}: expressions make more than {_MOST_CHARACTERS >> 20} million characters or steps",
                action=_ACTION,
            )

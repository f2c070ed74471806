"""How much a stranger's file may make of itself: a few lines can describe more than any memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import yaml

from flows.domain.errors import InvalidOption

MOST_BYTES = 4 << 20
"""Of a file."""

MOST_LEVELS = 100
"""Of objects in objects, of targets that inherit from targets, of groups in groups."""

_MOST_VALUES = 100_000
_MOST_CHARACTERS = 16 << 20
_ACTION = "write it plainly, or in several files"

_left: ContextVar[list[int] | None] = ContextVar("characters left", default=None)


def load_yaml(content: str) -> Any:
    """The document. Raises YAMLError, RecursionError."""
    loader = _Loader(content)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """YAML whose merges (`<<`) cannot multiply: each copies what it merges."""

    _pairs = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self._pairs += len(node.value)
        if self._pairs > _MOST_VALUES:
            raise yaml.constructor.ConstructorError(None, None, "merges too much", node.start_mark)


def check_document(name: str, document: Any) -> None:
    """See that a document is neither nested too deep nor, with each alias counted as what it stands for, too large.

    Raises InvalidOption.
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
        if isinstance(value, dict | list):
            if len(waiting) > MOST_LEVELS:
                raise too_deep(name)
            waiting.append(iter(value.values() if isinstance(value, dict) else value))


_END = object()


def check_values(where: str, number: int) -> None:
    """Raises InvalidOption for more values than a file may have."""
    if number > _MOST_VALUES:
        raise InvalidOption(f"{where} holds more than {_MOST_VALUES} values", action=_ACTION)


def too_deep(where: str) -> InvalidOption:
    """What is nested, or refers to each other, too deep."""
    return InvalidOption(f"{where} is nested more than {MOST_LEVELS} deep", action=_ACTION)


@contextmanager
def bounded() -> Iterator[None]:
    """Within: the texts that templates and variables make have a bound together."""
    token = _left.set([_MOST_CHARACTERS])
    try:
        yield
    finally:
        _left.reset(token)


def made(where: str, text: str) -> str:
    """Give back a text that a template or a variable made, counted. Raises InvalidOption."""
    left = _left.get()
    if left is not None:
        left[0] -= len(text)
        if left[0] < 0:
            raise InvalidOption(
                f"{where}: variables make more than {_MOST_CHARACTERS >> 20} million characters of it", action=_ACTION
            )
    return text

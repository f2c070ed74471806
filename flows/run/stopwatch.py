"""The duration of a run, without the time it waits for people or works for the next run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_waited_s: ContextVar[float] = ContextVar("seconds waited for people", default=0.0)


@dataclass(frozen=True)
class Stopwatch:
    """Starts at its creation. Read it in the flow that created it, or in what that calls."""

    _started: float = field(default_factory=lambda: time.monotonic())
    _waited_before: float = field(default_factory=_waited_s.get)

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._started - (_waited_s.get() - self._waited_before), 3)


@contextmanager
def not_counted() -> Iterator[None]:
    """Within: the stopwatches of this flow and its callers stand still."""
    started = time.monotonic()
    try:
        yield
    finally:
        _waited_s.set(_waited_s.get() + time.monotonic() - started)

"""Waiting for a state, never for a time: how long that takes on a busy machine says nothing about what is tested.

What has not come after PATIENCE_S will not come. pytest's own time-out (pyproject.toml) is longer, so that the failure
says what was waited for.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

PATIENCE_S = 300.0
# A look may ask a server, which has other work: what takes long is looked at more rarely, and seen a tenth later.
_FIRST_LOOKS_S, _LAST_LOOKS_S, _PART = 0.05, 1.0, 0.1

T = TypeVar("T")


def looks(patience_s: float = PATIENCE_S) -> Iterator[None]:
    """`for _ in looks():` one round for each look at the world, until `patience_s` is over; what comes after
    the loop has to fail then."""
    yield
    for pause_s in _pauses(patience_s):
        time.sleep(pause_s)
        yield


async def calm_looks(patience_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """The same beside the event loop's other tasks."""
    yield
    for pause_s in _pauses(patience_s):
        await asyncio.sleep(pause_s)
        yield


def _pauses(patience_s: float) -> Iterator[float]:
    """Seconds between one look and the next."""
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < patience_s:
        yield min(max(_FIRST_LOOKS_S, _PART * waited), _LAST_LOOKS_S)


def wait_until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    for _ in looks(patience_s):
        if condition():
            return
    raise AssertionError("what was waited for did not come")


async def calmly_until(condition: Callable[[], object]) -> None:
    async for _ in calm_looks():
        if condition():
            return
    raise AssertionError("what was waited for did not come")


async def soon(awaitable: Awaitable[T]) -> T:
    """What ends by itself, unless something hangs."""
    return await asyncio.wait_for(awaitable, PATIENCE_S)


def long_sleep() -> int:
    """Seconds that nothing else on this machine sleeps, so that a step's process is found by them."""
    return 10**6 + secrets.randbelow(10**8)

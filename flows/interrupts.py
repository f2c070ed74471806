"""Ctrl-C and SIGTERM: a release that is interrupted ends in order, and one that is public already is finished."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

R = TypeVar("R")

_within: ContextVar[bool] = ContextVar("terminated like interrupted", default=False)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Within: SIGTERM cancels this task, as Ctrl-C does.

    Prefect's own handler raises wherever the process happens to be, in the middle of the event loop as well, and no
    step could then end in order. Outside of the main thread, where signals cannot be handled, nothing changes. A flow
    within a flow is cancelled with it.
    """
    if _within.get():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    before = signal.getsignal(signal.SIGTERM)
    try:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    except (ValueError, RuntimeError):
        yield
        return
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


async def whatever_comes(step: Awaitable[R]) -> R:
    """Run `step` to its end; an interruption meanwhile is too late and forgotten."""
    running = asyncio.ensure_future(step)
    while True:
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():
                raise
            task = asyncio.current_task()
            assert task is not None, "a coroutine runs in a task"
            task.uncancel()

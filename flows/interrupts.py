"""Ctrl-C and SIGTERM: a release that is interrupted ends in order, and one that is public already is finished."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

R = TypeVar("R")

_PREFECTS_HANDLER = "_prefect_sigterm_handler"

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
        with _known_to_prefect(before):
            yield
    finally:
        _within.reset(token)
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _known_to_prefect(before: object) -> Iterator[None]:
    """Within: Prefect takes the handler that is in place now for its own, if its own was `before`.

    Whoever supervises a run (`prefect flow-run execute` in a pod, a worker that cancels) asks the run's process whether
    that handler is in place before sending SIGTERM, and kills at once where it is not (Prefect 3.9.1,
    utilities/engine, commit_control_intent_and_ack); there is no public way to say that one answers the signal.
    """
    # Where Prefect is not imported no run can be supervised; a plain build does without it.
    module = sys.modules.get("prefect.utilities.engine")
    if module is None or before is not vars(module)[_PREFECTS_HANDLER]:
        yield
        return
    engine = vars(module)
    engine[_PREFECTS_HANDLER] = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        engine[_PREFECTS_HANDLER] = before


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

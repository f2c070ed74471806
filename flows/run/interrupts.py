"""Ctrl-C, SIGTERM, a closed terminal: an interrupted run cleans up; one whose image is already public finishes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.infra.common.account import login_name
from prefect_slipway.infra.domain.errors import Interrupted

R = TypeVar("R")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_HOW = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "closed terminal"}
_ENGINE, _HANDLER = "prefect.utilities.engine", "_prefect_sigterm_handler"


class Interruption:
    """Cancels a task at the first signal, and never again: Ctrl-C twice must not stop the clean-up.

    `number`: the signal that came, None before. `over`: from now on it comes too late. `flows`: how many run within.
    """

    def __init__(self, flows: int) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self.number: signal.Signals | None = None
        self.over = False
        self.flows = flows
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._say = watcher().say

    def come(self, number: signal.Signals) -> None:
        """Handle a signal. Called between any two instructions of the main thread."""
        if self.over:
            return
        with suppress(RuntimeError):  # the loop is closed
            if self.number is None:
                self.number = number
                self._loop.call_soon_threadsafe(self._cancel)
            else:
                hint = "still cleaning up; Ctrl-\\ ends it at once and leaves the rest behind"
                self._loop.call_soon_threadsafe(self._say, hint)

    def _cancel(self) -> None:
        if not self.over and self.number is not None:
            self._say(f"interrupted ({_HOW[self.number]}): cleaning up, or finishing if the image is already public")
            self._task.cancel()

    def cause(self) -> Interrupted:
        """Who interrupted it, and how."""
        if self.number is None:
            return Interrupted("it was cancelled", action="run it again")
        return Interrupted(f"interrupted by {_who()} ({_HOW[self.number]})", action="run it again")


_current: ContextVar[Interruption | None] = ContextVar("interruption", default=None)
# Those of this process (flows may run beside each other), and what handled the signals before the first.
_living: list[Interruption] = []
_before: dict[signal.Signals, Any] = {}
_prefects: list[Any] = []


@contextmanager
def interruptible(*, around: bool = False) -> Iterator[Interruption]:
    """Within: the signals cancel this task, once.

    What is interruptible within it is cancelled with it. `around`: until that has ended; a signal that comes while its
    end is recorded comes too late. Prefect's own handler of SIGTERM raises wherever the process happens to be, in the
    middle of the event loop as well, and nothing could then clean up. Outside of the main thread, where signals cannot
    be handled, nothing changes. A signal that is ignored (nohup) stays so.
    """
    outer = _current.get()
    if outer is not None:
        outer.flows += 1
        try:
            yield outer
        finally:
            outer.flows -= 1
            outer.over = outer.over or not outer.flows
        return
    interruption = Interruption(flows=0 if around else 1)
    token = _current.set(interruption)
    try:
        with _handled(interruption):
            yield interruption
    finally:
        interruption.over = True
        _current.reset(token)


def named(error: BaseException) -> BaseException:
    """The error, or the interruption that caused it."""
    interruption = _current.get()
    if isinstance(error, asyncio.CancelledError) and interruption is not None:
        return interruption.cause()
    return error


async def whatever_comes(step: Awaitable[R]) -> R:
    """Run `step` to its end, ignoring interruptions, which come too late."""
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


async def unless_interrupted(step: Coroutine[Any, Any, None]) -> None:
    """Run `step`, which may be left out: an interruption ends it, and one that has come already prevents it."""
    interruption = _current.get()
    if interruption is not None and interruption.number is not None:
        step.close()
        return
    running = asyncio.ensure_future(step)
    try:
        await running
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        if not task.cancelling():
            raise
        task.uncancel()


@contextmanager
def _handled(interruption: Interruption) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _living:
        _take_over()
    _living.append(interruption)
    try:
        yield
    finally:
        _living.remove(interruption)
        if not _living:
            _give_back()


def _come(number: int, _: object) -> None:
    for interruption in _living:
        interruption.come(signal.Signals(number))


def _take_over() -> None:
    """Handle the signals, and let Prefect take our handler of SIGTERM for its own: it sets it where it would set its.

    Whoever supervises a run (`prefect flow-run execute` in a pod, a worker that cancels) asks the run's process whether
    Prefect's handler is in place before sending SIGTERM, and kills at once where it is not (Prefect 3.9.1,
    utilities/engine, commit_control_intent_and_ack); there is no public way to say that one answers the signal.
    """
    for number in SIGNALS:
        # None: a handler that is not Python's.
        if (before := signal.getsignal(number)) not in {signal.SIG_IGN, None}:
            _before[number] = before
            signal.signal(number, _come)
    # Without Prefect imported no run can be supervised; a plain build does not need it.
    if (engine := sys.modules.get(_ENGINE)) is not None and signal.SIGTERM in _before:
        _prefects.append(vars(engine)[_HANDLER])
        vars(engine)[_HANDLER] = _come


def _give_back() -> None:
    while _prefects:
        vars(sys.modules[_ENGINE])[_HANDLER] = _prefects.pop()
    while _before:
        signal.signal(*_before.popitem())


def _who() -> str:
    return f"{login_name() or f'user {os.getuid()}'} on {socket.gethostname()}"

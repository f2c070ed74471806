"""An asynchronous context manager in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class InOwnThread(Generic[T]):
    """Runs the context manager that `make` creates in that thread, so that it does not wait for this event loop.

    Raises what entering or leaving raises. The thread is a daemon: a process that ends without leaving is not held.
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]], name: str) -> None:
        self._make = make
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._over = asyncio.Event()
        self._entered: Future[T] = Future()
        self._left: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def __aenter__(self) -> T:
        self._thread.start()
        try:
            return await asyncio.shield(asyncio.wrap_future(self._entered))
        except BaseException:
            await self._end()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._end()
        self._left.result()

    async def _end(self) -> None:
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._over.set)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        with self._runner as runner:
            try:
                runner.run(self._live())
            except BaseException as error:  # raised where this is awaited
                (self._left if self._entered.done() else self._entered).set_exception(error)
            else:
                self._left.set_result(None)

    async def _live(self) -> None:
        async with self._make() as value:
            self._entered.set_result(value)
            await self._over.wait()


def from_here(call: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Coroutine[Any, Any, T]]:
    """The function for use in other threads; it runs in this event loop."""
    loop = asyncio.get_running_loop()

    async def elsewhere() -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))

    return elsewhere

"""Small helpers around asyncio's task groups and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TypeVar

from prefect_slipway.infra.domain.errors import SlipwayError

T = TypeVar("T")


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception of a task group to show: a named cause if there is one, else the first."""
    leaves = list(_leaves(group))
    return next((error for error in leaves if isinstance(error, SlipwayError)), leaves[0])


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work`, a short piece, in a thread. When cancelled, wait for it first: it may use what is then closed."""
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # nobody is left to see it
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error

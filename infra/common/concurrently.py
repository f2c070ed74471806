"""Run independent steps at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, overload

_T = TypeVar("_T")


@overload
async def run_concurrently(*steps: Awaitable[_T]) -> tuple[_T, ...]: ...
@overload
async def run_concurrently(*steps: Awaitable[Any]) -> tuple[Any, ...]: ...
async def run_concurrently(*steps: Awaitable[Any]) -> tuple[Any, ...]:
    """Run independent steps at the same time; the first failure cancels the others and is raised as it is."""
    running = [asyncio.ensure_future(task) for task in steps]
    try:
        return tuple(await asyncio.gather(*running))
    except BaseException:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        raise

"""What all steps share: a Prefect task that is only retried if a retry can help."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TagsContext
from prefect.runtime import task_run

from prefect_slipway.flows.reporting.watch import StepNews, shown_step, watcher
from prefect_slipway.infra.common.concurrently import run_concurrently as run_concurrently
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.local.causes import local_cause
from prefect_slipway.infra.local.home import stack_home

P = ParamSpec("P")
R = TypeVar("R")

# Seconds before the second, third and fourth try; a server's Retry-After is waited for on top. Each process has its
# own, so that runs which lost the same server do not come back together; rounded, as Prefect writes them into the log.
RETRY_DELAYS_S = tuple(round(seconds * random.uniform(0.8, 1.2), 1) for seconds in (0.5, 2.0, 5.0))  # noqa: S311
# A server that asks for more than this is answered with a failure that says so: a builder is not kept waiting for it.
LONGEST_RETRY_AFTER_S = 60.0

_seconds: ContextVar[dict[str, float] | None] = ContextVar("seconds", default=None)


@contextmanager
def timed_steps() -> Iterator[dict[str, float]]:
    """Within: collect the seconds of each step, including retries, as the steps end.

    Steps do not inherit the run's tags: Prefect asks the server before each task whether one of its tags has a
    concurrency limit, and a server busy with the run's log answers late.
    """
    seconds: dict[str, float] = {}
    token = _seconds.set(seconds)
    try:
        with TagsContext(current_tags=set()):
            yield seconds
    finally:
        _seconds.reset(token)


async def retry_helps(task: Task[..., Any], tried: TaskRun, state: State[Any]) -> bool:
    """Prefect's retry condition: only retry a SlipwayError that is retryable."""
    error = state.data
    if not isinstance(error, SlipwayError) or not error.retryable:
        return False
    if error.retry_after is not None and error.retry_after > LONGEST_RETRY_AFTER_S:
        return False
    if error.retry_after is None and error.most_tries is not None and tried.run_count >= error.most_tries:
        return False
    wait_s = RETRY_DELAYS_S[min(tried.run_count, len(RETRY_DELAYS_S)) - 1] + (error.retry_after or 0.0)
    watcher().step(StepNews(str(task.task_run_name), "retrying", reason=error.cause, wait_s=round(wait_s, 3)))
    if error.retry_after is not None:
        await asyncio.sleep(error.retry_after)
    return True


def step(name: str) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Make an async function a step of a release. Steps are not cached, because each depends on the current state."""

    def as_task(function: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, Coroutine[Any, Any, R]]:
        @functools.wraps(function)
        async def announced(*args: P.args, **kwargs: P.kwargs) -> R:
            with shown_step(task_run.name or name), _timed(name):
                return await function(*args, **kwargs)

        return prefect_task(announced)

    prefect_task = task(
        name=name,
        task_run_name=name,
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=list(RETRY_DELAYS_S),
        retry_condition_fn=retry_helps,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return as_task


@contextmanager
def _timed(name: str) -> Iterator[None]:
    # A function of its own: a served flow is pickled with its steps, and a context variable cannot be.
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        # On a full disk everything else is its consequence, and no retry helps.
        if cause := local_cause(error, stack_home(os.environ)):
            raise cause from error
        raise
    finally:
        if (seconds := _seconds.get()) is not None:
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - started, 3)

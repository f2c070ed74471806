"""How long a run took, without the time for which it waited for people."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from prefect_slipway.flows.run.stopwatch import Stopwatch, not_counted


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time in seconds, to be moved."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    yield now


def test_waiting_is_not_counted(clock: list[float]) -> None:
    """Neither by the run that waits nor by the one that called it; a later one begins at zero."""
    outer = Stopwatch()
    clock[0] += 1
    inner = Stopwatch()
    clock[0] += 2
    with pytest.raises(TimeoutError), not_counted():
        clock[0] += 86_400
        raise TimeoutError
    clock[0] += 4
    assert (outer.seconds, inner.seconds) == (7.0, 6.0)
    assert Stopwatch().seconds == 0.0


async def test_what_is_told_of_a_run_that_ended_while_it_waited_counts_so_as_well() -> None:
    """The end is told by a task of its own."""
    stopwatch = Stopwatch()

    async def told() -> float:
        return stopwatch.seconds

    before = time.monotonic()
    with not_counted():
        await asyncio.sleep(0.2)
    waited = time.monotonic() - before
    taken = await asyncio.create_task(told())
    assert taken < time.monotonic() - before - waited / 2

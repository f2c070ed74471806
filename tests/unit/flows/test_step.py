"""What is retried, and what is not."""

import asyncio
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from flows.domain.errors import RegistryThrottled, RegistryUnauthorized, RegistryUnavailable, VaultThrottled
from flows.tasks.step import LONGEST_RETRY_AFTER_S, retry_helps, together


async def _helps(error: BaseException, tries: int = 1) -> bool:
    return await retry_helps(cast(Any, None), TaskRun.model_construct(run_count=tries), Failed(data=error))


async def test_a_cause_that_a_retry_can_help_is_retried() -> None:
    """A registry with trouble of its own may answer the next time."""
    assert await _helps(RegistryUnavailable("503"))


@pytest.mark.parametrize("error", [RegistryUnauthorized("401"), ValueError("a bug"), KeyboardInterrupt()])
async def test_nothing_else_is_retried(error: BaseException) -> None:
    """Wrong credentials stay wrong, and a bug is shown the first time."""
    assert not await _helps(error)


async def test_a_server_that_says_when_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After is honoured, up to a minute; beyond it the failure says so at once."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await _helps(RegistryThrottled("429", retry_after=7.0))
    assert not await _helps(RegistryThrottled("429", retry_after=LONGEST_RETRY_AFTER_S + 1))
    assert waited == [7.0]


async def test_a_vault_that_does_not_say_when_is_tried_as_its_own_client_tries() -> None:
    """Twice more, then the failure is told; one that says when is waited for each time."""
    assert [await _helps(VaultThrottled("429"), tries) for tries in (1, 2, 3)] == [True, True, False]
    assert await _helps(VaultThrottled("429", retry_after=0.0), 3)


async def test_independent_steps_run_at_the_same_time_and_fail_as_one() -> None:
    """The first failure cancels the others, waits for their clean-up and is raised as it is."""
    met = asyncio.Event()
    ended = []

    async def waits() -> None:
        met.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("waits")

    async def fails() -> None:
        await met.wait()
        raise RegistryUnauthorized("401")

    with pytest.raises(RegistryUnauthorized):
        await together(waits(), fails())
    assert ended == ["waits"]


async def test_results_come_in_the_order_of_the_steps() -> None:
    """However long each takes."""

    async def value(delay: float, what: str) -> str:
        await asyncio.sleep(delay)
        return what

    assert await together(value(0.02, "a"), value(0.0, "b")) == ("a", "b")

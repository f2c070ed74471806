"""What is retried, and what is not."""

import asyncio
import errno
import io
from pathlib import Path

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from prefect_slipway.flows.cli.display.lines import Plain
from prefect_slipway.flows.cli.release_display import Terminal
from prefect_slipway.flows.reporting.watch import watching
from prefect_slipway.flows.steps.step import LONGEST_RETRY_AFTER_S, RETRY_DELAYS_S, retry_helps, run_concurrently, step
from prefect_slipway.infra.domain.errors import (
    DiskFull,
    RegistryThrottled,
    RegistryUnauthorized,
    RegistryUnavailable,
    SlipwayError,
    VaultThrottled,
)
from tests.small_disk import small_disk


@step("push")
async def push() -> None:
    """What is tried."""


async def _helps(error: BaseException, tries: int = 1) -> bool:
    return await retry_helps(push, TaskRun(task_key="push", dynamic_key="0", run_count=tries), Failed(data=error))


async def test_a_retry_is_said_on_the_terminal_with_its_cause() -> None:
    """By the step's name, and with how long it waits; what is not tried again is told by the command itself."""
    stream = io.StringIO()
    with watching(Terminal(Plain(stream))):
        assert await _helps(RegistryUnavailable("registry.example answered with HTTP 503"))
        assert not await _helps(RegistryUnauthorized("401"))
        assert not await _helps(RegistryThrottled("429", retry_after=LONGEST_RETRY_AFTER_S + 1))
    said = f"> push: registry.example answered with HTTP 503; trying again in {RETRY_DELAYS_S[0]:.1f} s\n"
    assert stream.getvalue() == said


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
        await run_concurrently(waits(), fails())
    assert ended == ["waits"]


async def test_results_come_in_the_order_of_the_steps() -> None:
    """However long each takes."""

    async def value(delay: float, what: str) -> str:
        await asyncio.sleep(delay)
        return what

    assert await run_concurrently(value(0.02, "a"), value(0.0, "b")) == ("a", "b")


@pytest.mark.root
async def test_on_a_full_disk_nothing_else_is_to_blame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the embedded parts answer then is its consequence, which no retry helps; a cause of another kind stays."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))

    @step("ask")
    async def ask(error: Exception) -> None:
        raise error

    async def asked(error: Exception) -> BaseException:
        with pytest.raises((SlipwayError, OSError)) as raised:
            await ask.fn(error)
        return raised.value

    unrelated = RegistryUnauthorized("401")
    unavailable = RegistryUnavailable("the registry answers 500")
    assert await asked(unavailable) is unavailable
    with small_disk(tmp_path, "1m"):
        assert await asked(unavailable) is unavailable, "no stack of Slipway's is there"
        (tmp_path / "stack.json").touch()
        full = await asked(unavailable)
        assert isinstance(full, DiskFull)
        assert (full.retryable, full.details) == (False, "RegistryUnavailable: the registry answers 500")
        assert f"the disk {tmp_path} is full" in full.cause
        assert await asked(unrelated) is unrelated
        assert isinstance(await asked(OSError(errno.ENOSPC, "No space left on device")), DiskFull)

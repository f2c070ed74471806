"""Signals that come to a run: it is cancelled once, and ends in its own time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from prefect.utilities.engine import capture_sigterm, is_prefect_sigterm_handler_installed

from prefect_slipway.flows.run.interrupts import SIGNALS, interruptible, named, whatever_comes


@pytest.fixture(autouse=True)
def harmless() -> Iterator[None]:
    """What is sent too early or too late does not end the tests."""
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def cleans_up(when: Callable[[], None], steps: list[str]) -> None:
    """`when`: called in the middle of it, and while it is cleaned up after an interruption."""
    try:
        when()
        await asyncio.sleep(60)
    finally:
        for step in ("first", "second", "third"):
            when()
            await asyncio.sleep(0.01)
            steps.append(step)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
async def test_a_signal_again_and_again_does_not_stop_the_clean_up(number: signal.Signals) -> None:
    """Ctrl-C twice, and a third time."""
    steps: list[str] = []
    with interruptible() as interruption:
        with pytest.raises(asyncio.CancelledError):
            await cleans_up(lambda: send(number), steps)
        assert steps == ["first", "second", "third"]
        assert interruption.number == number
        said = interruption.cause().cause
    assert said.startswith("interrupted by ")
    assert said.endswith({"SIGINT": "(Ctrl-C)", "SIGTERM": "(SIGTERM)", "SIGHUP": "(closed terminal)"}[number.name])


async def test_an_error_is_named_by_who_interrupted_it() -> None:
    """In a report no class of Python stands; another error stays what it is."""
    with interruptible():
        send(signal.SIGINT)
        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.sleep(60)
        assert "Ctrl-C" in str(named(caught.value))
        assert named(error := ValueError()) is error


async def test_a_flow_within_is_cancelled_and_what_comes_after_it_is_not() -> None:
    """The run's end is being recorded then: too late."""
    with interruptible(around=True):
        for _ in range(2):
            with interruptible():
                with interruptible():
                    pass
                await asyncio.sleep(0)
            send(signal.SIGINT)
            await asyncio.sleep(0.01)


async def test_two_beside_each_other_are_both_cancelled() -> None:
    """As in a user's flow that starts two releases; the handlers are there until the last has ended."""
    before = signal.getsignal(signal.SIGINT)

    async def one(*, quick: bool) -> str:
        with interruptible():
            try:
                await asyncio.sleep(0 if quick else 60)
            except asyncio.CancelledError:
                return "cancelled"
            return "done"

    tasks = [asyncio.create_task(one(quick=quick)) for quick in (False, True, False)]
    await asyncio.sleep(0.05)
    send(signal.SIGINT)
    assert await asyncio.gather(*tasks) == ["cancelled", "done", "cancelled"]
    assert signal.getsignal(signal.SIGINT) is before


async def test_what_is_ignored_stays_ignored() -> None:
    """nohup, and a shell's background job."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible() as interruption:
        send(signal.SIGHUP)
        await asyncio.sleep(0.01)
        assert interruption.number is None
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


async def test_what_must_be_done_is_done() -> None:
    """An interruption meanwhile is forgotten."""
    done = []

    async def must() -> str:
        send(signal.SIGTERM)
        await asyncio.sleep(0.01)
        done.append(True)
        return "value"

    with interruptible():
        assert await whatever_comes(must()) == "value"
        await asyncio.sleep(0)
    assert done


async def test_prefect_takes_our_handler_for_its_own() -> None:
    """Else whoever supervises the run kills it at once, and nothing is cleaned up. Afterwards all is as before."""
    with capture_sigterm():
        theirs = signal.getsignal(signal.SIGTERM)
        with interruptible():
            assert signal.getsignal(signal.SIGTERM) is not theirs
            assert is_prefect_sigterm_handler_installed()
        assert signal.getsignal(signal.SIGTERM) is theirs
        assert is_prefect_sigterm_handler_installed()


async def test_prefect_does_not_replace_our_handler() -> None:
    """The command line's is there before the engine's, which would raise in the middle of the event loop."""
    with interruptible(around=True):
        ours = signal.getsignal(signal.SIGTERM)
        with capture_sigterm():
            assert signal.getsignal(signal.SIGTERM) is ours
        assert signal.getsignal(signal.SIGTERM) is ours
    assert not is_prefect_sigterm_handler_installed()

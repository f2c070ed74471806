"""SIGTERM for a run that Prefect supervises."""

from __future__ import annotations

import signal

from prefect.utilities.engine import capture_sigterm, is_prefect_sigterm_handler_installed

from flows.interrupts import terminated_like_interrupted


async def test_prefect_takes_our_handler_for_its_own() -> None:
    """Else whoever supervises the run kills it at once, and nothing is cleaned up. Afterwards all is as before."""
    with capture_sigterm():
        theirs = signal.getsignal(signal.SIGTERM)
        with terminated_like_interrupted():
            assert signal.getsignal(signal.SIGTERM) is not theirs
            assert is_prefect_sigterm_handler_installed()
        assert signal.getsignal(signal.SIGTERM) is theirs
        assert is_prefect_sigterm_handler_installed()


async def test_without_a_supervised_run_prefect_is_left_alone() -> None:
    """As in the command line before its flow begins."""
    with terminated_like_interrupted():
        assert not is_prefect_sigterm_handler_installed()

"""A flow that runs in this process, recorded by Prefect and watched by the terminal."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from flows.domain.errors import Interrupted

if TYPE_CHECKING:
    from flows.cli.terminal import Terminal
    from flows.watched.watch import Outcome

R = TypeVar("R")


def add_output_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", choices=["text", "json"], default="text", help="How the result is printed.")


def follow(start: Callable[[], Coroutine[Any, Any, Outcome]], output: str) -> int:
    """Run a release's flow and print how it ended.

    `output`: `text` or `json`. 0: released, or nothing to release. Raises SlipwayError.
    """
    result, terminal = recorded(start, _public_already)
    if output == "json":
        print(json.dumps(result.as_dict()))
    else:
        print(terminal.report or result.reason)
    return 0


def recorded(start: Callable[[], Coroutine[Any, Any, R]], interrupted: Callable[[Terminal], R]) -> tuple[R, Terminal]:
    """Run the flow that `start` begins (which imports it: Prefect reads its settings then).

    `interrupted`: what an interruption comes to: it raises, or gives the result that was there already. Raises
    SlipwayError.
    """
    from flows.cli.surroundings import use_prefect_server

    # SIGTERM before and after the flow, which handles it by itself, is a Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A run waits for a server that is away for a minute: Prefect's default, 5, may give up after 50 s.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "6")
    use_prefect_server()
    # Only now: importing Prefect takes a second and reads its settings from the environment.
    with _no_garbage():
        from prefect import tags
        from prefect.exceptions import TerminationSignal

        from flows.cli.terminal import Terminal
        from flows.watched.watch import watching

    terminal = Terminal(sys.stderr)
    try:
        # The tag by which the automations know the runs they look after.
        with watching(terminal), tags("slipway"):
            with _no_garbage():
                flow = start()
            return asyncio.run(_recorded(flow)), terminal
    except (KeyboardInterrupt, TerminationSignal, asyncio.CancelledError):
        return interrupted(terminal), terminal


async def _recorded(flow: Coroutine[Any, Any, R]) -> R:
    from flows.prefect_errors import prefect_client

    async with prefect_client():
        return await flow


@contextmanager
def _no_garbage() -> Iterator[None]:
    """While modules are imported: to look through what stays until the end takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _public_already(terminal: Terminal) -> Outcome:
    if terminal.result is None or not terminal.result.released:
        raise Interrupted("the release was interrupted")
    # Too late: it is public, and running the same command again would release the next version.
    return terminal.result

"""A release's flow run in this process, watched by the terminal."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from flows.domain.errors import Interrupted

if TYPE_CHECKING:
    from flows.watch import Outcome


def follow(start: Callable[[], Coroutine[Any, Any, Outcome]], output: str) -> int:
    """Run the flow that `start` begins (which imports it: Prefect reads its settings then) and print how it ended.

    `output`: `text` or `json`. 0: released, or nothing to release. Raises SlipwayError.
    """
    from flows.cli.surroundings import use_prefect_server

    # SIGTERM before and after the flow, which handles it by itself, is a Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    use_prefect_server()
    # Only now: importing Prefect takes a second and reads its settings from the environment.
    from prefect import tags
    from prefect.exceptions import TerminationSignal

    from flows.cli.terminal import Terminal
    from flows.watch import watching

    terminal = Terminal(sys.stderr)
    try:
        # The tag by which the automations know the runs they look after.
        with watching(terminal), tags("slipway"):
            result = asyncio.run(start())
    except (KeyboardInterrupt, TerminationSignal, asyncio.CancelledError) as interruption:
        if terminal.result is None or not terminal.result.released:
            raise Interrupted("the release was interrupted") from interruption
        # Too late: it is public, and running the same command again would release the next version.
        result = terminal.result
    if output == "json":
        print(json.dumps(result.as_dict()))
    else:
        print(terminal.report or result.reason)
    return 0

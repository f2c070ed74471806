"""What the commands that roll out have in common: the flow runs here, recorded by Prefect, shown on the terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from flows.domain.errors import Interrupted

_OUTCOME = "an image that was not rolled out yet was taken back, see above; the same command may be run again"


class Result(Protocol):
    """What such a flow gives."""

    @property
    def summary(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


def add_output_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", choices=["text", "json"], default="text", help="How the result is printed.")


def run_recorded(start: Callable[[], Coroutine[Any, Any, Result]], output: str) -> int:
    """Run the flow that `start` begins and print its result. `start` is called when Prefect may be imported.

    Raises SlipwayError.
    """
    from flows.cli.surroundings import use_prefect_server

    # SIGTERM before and after the flow, which handles it by itself, is a Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    use_prefect_server()
    from prefect import tags
    from prefect.exceptions import TerminationSignal

    from flows.cli.terminal import Terminal
    from flows.watch import watching

    try:
        # The tag by which the automations know the runs they look after.
        with watching(Terminal(sys.stderr)), tags("slipway"):
            result = asyncio.run(start())
    except (KeyboardInterrupt, TerminationSignal, asyncio.CancelledError) as interruption:
        raise Interrupted("the rollout was interrupted", action=_OUTCOME) from interruption
    print(json.dumps(result.as_dict()) if output == "json" else result.summary)
    return 0

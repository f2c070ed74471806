"""`slipway release`: run the release flow here, recorded by the Prefect server, and show how it ended."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Any

from flows.domain.errors import Interrupted


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from flows.cli.options import add_request_options

    parser = subparsers.add_parser(
        "release",
        help="release an image",
        description="Builds the source, pushes it under the next semantic version, verifies and records it.",
    )
    add_request_options(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="How the result is printed.")


def run(args: argparse.Namespace) -> int:
    """0: released, or nothing to release. Raises SlipwayError."""
    from flows.cli.options import request_of
    from flows.cli.surroundings import use_prefect_server

    # SIGTERM before and after the flow, which handles it by itself, is a Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    request = request_of(args)
    use_prefect_server()
    # Only now: importing Prefect takes a second and reads its settings from the environment.
    from prefect.exceptions import TerminationSignal

    from flows.cli.terminal import Terminal
    from flows.release import release
    from flows.watch import watching

    terminal = Terminal(sys.stderr)
    try:
        with watching(terminal):
            result = asyncio.run(release(request))
    except (KeyboardInterrupt, TerminationSignal, asyncio.CancelledError) as interruption:
        if terminal.result is None or not terminal.result.released:
            raise Interrupted("the release was interrupted") from interruption
        # Too late: it is public, and running the same command again would release the next version.
        result = terminal.result
    if args.output == "json":
        print(json.dumps(result.as_dict()))
    else:
        print(terminal.report or result.reason)
    return 0

"""`slipway release`: run the release flow here, recorded by the Prefect server, and show how it ended."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.watched.watch import Outcome


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from flows.cli.following import add_output_option
    from flows.cli.options import add_request_options

    parser = subparsers.add_parser(
        "release",
        help="release an image",
        description="Builds the source, pushes it under the next semantic version, verifies and records it.",
    )
    add_request_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: released, or nothing to release. Raises SlipwayError."""
    from flows.cli.following import follow
    from flows.cli.options import request_of

    request = request_of(args)

    def start() -> Coroutine[Any, Any, Outcome]:
        from flows.preflight import check_release
        from flows.release import release

        check_release(request)
        return release(request)

    return follow(start, args.output)

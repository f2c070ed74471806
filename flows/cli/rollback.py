"""`slipway rollback`: bring a workload back to an earlier release."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import Any

from flows.cli.following import add_output_option
from flows.cli.rollouts import Result, run_recorded


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from flows.cli.options import add_request_options
    from flows.rollouts.request import RollbackRequest

    parser = subparsers.add_parser(
        "rollback",
        help="bring a workload back to an earlier release",
        description="Rolls an earlier release out again, by the digest that was released, and watches it.",
    )
    add_request_options(parser, RollbackRequest, positional="workload")
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: the earlier release runs. Raises SlipwayError."""
    from flows.cli.options import read_request
    from flows.rollouts.request import RollbackRequest

    request = read_request(args, RollbackRequest)

    def start() -> Coroutine[Any, Any, Result]:
        from flows.preflight import check_rollout
        from flows.rollback import rollback

        check_rollout(request, [request.pull_credentials])
        return rollback(request)

    return run_recorded(start, args.output)

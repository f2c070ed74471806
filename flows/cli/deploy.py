"""`slipway deploy`: roll an image out to a workload in Kubernetes, by digest, and see that it runs."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import Any

from flows.cli.following import add_output_option
from flows.cli.rollouts import Result, run_recorded


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from flows.cli.options import add_request_options
    from flows.rollouts.request import DeployRequest

    parser = subparsers.add_parser(
        "deploy",
        help="roll an image out to a workload",
        description=(
            "Sets the image of a workload's container by digest and watches the rollout; one that fails is rolled "
            "back, and the command fails with the reason."
        ),
    )
    add_request_options(parser, DeployRequest, positional="reference")
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: rolled out, now or before. Raises SlipwayError."""
    from flows.cli.options import read_request
    from flows.rollouts.request import DeployRequest

    request = read_request(args, DeployRequest)

    def start() -> Coroutine[Any, Any, Result]:
        from flows.deploy import deploy
        from flows.preflight import check_rollout

        check_rollout(request, [request.pull_credentials])
        return deploy(request)

    return run_recorded(start, args.output)

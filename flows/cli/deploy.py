"""`slipway deploy`: roll an image out to a workload in Kubernetes by digest, and watch the rollout."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import Any

from prefect_slipway.flows.cli.display.choice import add_progress_option
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.flows.cli.rollouts import Result, run_recorded


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from prefect_slipway.flows.cli.git_options import add_git_options
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.rollout import DeployRequest

    parser = subparsers.add_parser(
        "deploy",
        description=(
            "Set the image of a workload's container by digest and watch the rollout. A failed rollout is rolled "
            "back, and the command fails with the reason."
        ),
    )
    add_request_options(parser, DeployRequest, positional="reference")
    add_git_options(parser)
    add_format_option(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: rolled out, now or before. Raises SlipwayError."""
    from prefect_slipway.flows.cli.git_options import check_git, git_request
    from prefect_slipway.flows.cli.options import read_request
    from prefect_slipway.flows.request.gitops import GitDeployRequest
    from prefect_slipway.flows.request.rollout import DeployRequest

    if (in_git := git_request(args, DeployRequest, GitDeployRequest)) is not None:

        def start_git() -> Coroutine[Any, Any, Result]:
            from prefect_slipway.flows.deploy_git import deploy_git

            check_git(in_git, [in_git.git])
            return deploy_git(in_git)

        return run_recorded(start_git, args)
    request = read_request(args, DeployRequest)

    def start() -> Coroutine[Any, Any, Result]:
        from prefect_slipway.flows.deploy import deploy
        from prefect_slipway.flows.run.preflight import check_rollout

        check_rollout(request, [request.pull_credentials])
        return deploy(request)

    return run_recorded(start, args)

"""`slipway rollback`: return a workload to an earlier release."""

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
    from prefect_slipway.flows.request.rollout import RollbackRequest

    parser = subparsers.add_parser(
        "rollback",
        description="Roll out an earlier release again by its digest, and watch the rollout.",
    )
    add_request_options(parser, RollbackRequest, positional="workload")
    add_git_options(parser)
    add_format_option(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: the earlier release runs. Raises SlipwayError."""
    from prefect_slipway.flows.cli.git_options import check_git, git_request
    from prefect_slipway.flows.cli.options import read_request
    from prefect_slipway.flows.request.gitops import GitRollbackRequest
    from prefect_slipway.flows.request.rollout import RollbackRequest

    if (in_git := git_request(args, RollbackRequest, GitRollbackRequest)) is not None:

        def start_git() -> Coroutine[Any, Any, Result]:
            from prefect_slipway.flows.rollback_git import rollback_git

            check_git(in_git, [in_git.git])
            return rollback_git(in_git)

        return run_recorded(start_git, args)
    request = read_request(args, RollbackRequest)

    def start() -> Coroutine[Any, Any, Result]:
        from prefect_slipway.flows.rollback import rollback
        from prefect_slipway.flows.run.preflight import check_rollout

        check_rollout(request, [request.pull_credentials])
        return rollback(request)

    return run_recorded(start, args)

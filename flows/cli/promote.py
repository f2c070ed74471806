"""`slipway promote`: promote an image from one environment to the next."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import Any

from prefect_slipway.flows.cli.display.choice import add_progress_option
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.flows.cli.rollouts import Result, run_recorded
from prefect_slipway.flows.cli.tables import git_target, typed_table


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.rollout import PromoteRequest

    parser = subparsers.add_parser(
        "promote",
        description=(
            "Roll out the first environment's image to the other environments in order, each after an approval. An "
            "image that was not rolled out to the previous environment is rejected. Environments with `git=URL` are "
            "places in git repositories."
        ),
    )
    add_request_options(parser, PromoteRequest, positional="reference")
    add_format_option(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: the last environment has it. Raises SlipwayError."""
    from prefect_slipway.flows.cli.git_options import check_git
    from prefect_slipway.flows.cli.options import given_options, read_request
    from prefect_slipway.flows.request.gitops import GitPromoteRequest
    from prefect_slipway.flows.request.rollout import PromoteRequest

    args.environments = [environment(text) for text in args.environments or ()]
    if any("git" in each for each in args.environments):
        args.environments = [git_target(each) for each in args.environments]
        in_git = GitPromoteRequest.read(given_options(args, PromoteRequest))

        def start_git() -> Coroutine[Any, Any, Result]:
            from prefect_slipway.flows.promote_git import promote_git

            check_git(in_git, list(in_git.environments))
            return promote_git(in_git)

        return run_recorded(start_git, args, untouched="the environments it was written to keep it")
    request = read_request(args, PromoteRequest)

    def start() -> Coroutine[Any, Any, Result]:
        from prefect_slipway.flows.promote import promote
        from prefect_slipway.flows.run.preflight import check_rollout

        check_rollout(request, [environment.pull_credentials for environment in request.environments])
        return promote(request)

    return run_recorded(start, args, untouched="the environments it was rolled out to keep it")


def environment(text: str) -> dict[str, Any]:
    """NAME:KEY=VALUE,… as the model's fields. Raises InvalidOption."""
    name, values = typed_table("--environment staging:workload=deployment/app,namespace=staging", text)
    return {"name": name, **values}

"""Roll out the first environment's image to the other environments in order, each after an approval. An image that was
not rolled out to the previous environment is rejected. Environments with `git=URL` are places in git repositories."""

from __future__ import annotations

import argparse
from typing import Any

from prefect_slipway.flows.cli.rollouts import Run, add_rollout_options, run_recorded
from prefect_slipway.flows.cli.tables import git_target, typed_table


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.request.rollout import PromoteRequest

    add_rollout_options(parser, PromoteRequest, positional="reference", git=False)


def run(args: argparse.Namespace) -> int:
    """0: the last environment has it. Raises SlipwayError."""
    from prefect_slipway.flows.cli.options import given_options, read_request
    from prefect_slipway.flows.request.gitops import GitPromoteRequest
    from prefect_slipway.flows.request.rollout import PromoteRequest

    args.environments = [environment(text) for text in args.environments or ()]
    if any("git" in each for each in args.environments):
        args.environments = [git_target(each) for each in args.environments]
        in_git = GitPromoteRequest.read(given_options(args, PromoteRequest))

        def begin_git() -> Run:
            from prefect_slipway.flows.promote_git import promote_git

            return promote_git(in_git)

        return run_recorded(in_git, begin_git, args, untouched="the environments it was written to keep it")
    request = read_request(args, PromoteRequest)

    def begin() -> Run:
        from prefect_slipway.flows.promote import promote

        return promote(request)

    return run_recorded(request, begin, args, untouched="the environments it was rolled out to keep it")


def environment(text: str) -> dict[str, Any]:
    """NAME:KEY=VALUE,… as the model's fields. Raises InvalidOption."""
    name, values = typed_table("--environment staging:workload=deployment/app,namespace=staging", text)
    return {"name": name, **values}

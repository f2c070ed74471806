"""Roll out an earlier release again by its digest, and watch the rollout."""

from __future__ import annotations

import argparse

from prefect_slipway.flows.cli.rollouts import Run, add_rollout_options, run_recorded


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.request.rollout import RollbackRequest

    add_rollout_options(parser, RollbackRequest, positional="workload")


def run(args: argparse.Namespace) -> int:
    """0: the earlier release runs. Raises SlipwayError."""
    from prefect_slipway.flows.cli.git_options import read_either
    from prefect_slipway.flows.request.gitops import GitRollbackRequest
    from prefect_slipway.flows.request.rollout import RollbackRequest

    request = read_either(args, RollbackRequest, GitRollbackRequest)

    def begin() -> Run:
        if isinstance(request, GitRollbackRequest):
            from prefect_slipway.flows.rollback_git import rollback_git

            return rollback_git(request)
        from prefect_slipway.flows.rollback import rollback

        return rollback(request)

    return run_recorded(request, begin, args)

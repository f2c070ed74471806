"""Set the image of a workload's container by digest and watch the rollout. A failed rollout is rolled back, and the
command fails with the reason."""

from __future__ import annotations

import argparse

from prefect_slipway.flows.cli.rollouts import Run, add_rollout_options, run_recorded


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.request.rollout import DeployRequest

    add_rollout_options(parser, DeployRequest, positional="reference")


def run(args: argparse.Namespace) -> int:
    """0: rolled out, now or before. Raises SlipwayError."""
    from prefect_slipway.flows.cli.git_options import read_either
    from prefect_slipway.flows.request.gitops import GitDeployRequest
    from prefect_slipway.flows.request.rollout import DeployRequest

    request = read_either(args, DeployRequest, GitDeployRequest)

    def begin() -> Run:
        if isinstance(request, GitDeployRequest):
            from prefect_slipway.flows.deploy_git import deploy_git

            return deploy_git(request)
        from prefect_slipway.flows.deploy import deploy

        return deploy(request)

    return run_recorded(request, begin, args)

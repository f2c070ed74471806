"""Check whether the base images of the deployments' latest releases have changed in their registries, and start a patch
release of the same commit if one has. The flow check-bases does the same on a schedule."""

from __future__ import annotations

import argparse
import json
from collections.abc import Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prefect_slipway.flows.cli.display.choice import add_progress_option
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.flows.cli.run_flow import interruption, recorded

if TYPE_CHECKING:
    from prefect_slipway.flows.check_bases import Checked
    from prefect_slipway.flows.cli.release_display import Terminal


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("deployments", nargs="+", metavar="DEPLOYMENT", help="Release deployment, FLOW/NAME.")
    parser.add_argument(
        "--require",
        action="append",
        metavar="REQUIREMENT",
        help=(
            "What the last releases must have before their sources are built again, as for `slipway deploy`. Default: "
            "nothing."
        ),
    )
    add_format_option(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """Returns 0 if all were checked. Raises SlipwayErrors."""

    def start() -> Coroutine[Any, Any, list[Checked]]:
        from prefect_slipway.flows.check_bases import check_bases
        from prefect_slipway.flows.request.base_check import Application, BaseCheck

        applications = [Application(deployment=name, require=args.require or []) for name in args.deployments]
        return check_bases(BaseCheck(applications=applications))

    def interrupted(terminal: Terminal) -> list[Checked]:
        raise interruption("the check was interrupted", terminal)

    results, _ = recorded(start, interrupted, args.progress)
    if args.format == "json":
        print(json.dumps([asdict(result) for result in results]))
        return 0
    for result in results:
        print(f"{result.deployment}: {result.outcome}")
        for line in (*result.moved, result.url):
            if line:
                print(f"  {line}")
    return 0

"""`slipway plan`: show what a release would do, and do nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_slipway.flows.planning.plan import ReleasePlan
    from prefect_slipway.flows.request.release import ReleaseRequest


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from prefect_slipway.flows.cli.options import add_request_options

    parser = subparsers.add_parser(
        "plan",
        help="show what a release would do",
        description="Prints what `slipway release` with the same options would do, and does nothing.",
    )
    add_request_options(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="How the plan is printed.")


def run(args: argparse.Namespace) -> int:
    """Print the plan. Raises SlipwayError."""
    from prefect_slipway.flows.cli.options import request_of

    plan = asyncio.run(_plan(request_of(args)))
    if args.output == "json":
        print(json.dumps({**asdict(plan), "reference": plan.reference, "effects": plan.effects()}))
    else:
        from prefect_slipway.flows.reporting.report import plan_as_text

        print(plan_as_text(plan))
    return 0


async def _plan(request: ReleaseRequest) -> ReleasePlan:
    from prefect_slipway.flows.run.workshop import open_workshop

    from prefect_slipway.flows.planning.plan import plan_release
    from prefect_slipway.flows.run.sources import open_source

    async with open_workshop(request) as shop:
        async with await open_source(shop) as checkout:
            plan = await plan_release(shop, checkout, run="plan", reserve=False)
        await shop.check_builder()
        return plan

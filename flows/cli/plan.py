"""`slipway plan`: show what a release would do, and do nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows.domain.plan import ReleasePlan
from flows.domain.text import with_rest

if TYPE_CHECKING:
    from flows.request import ReleaseRequest


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from flows.cli.options import add_request_options

    parser = subparsers.add_parser(
        "plan",
        help="show what a release would do",
        description="Prints what `slipway release` with the same options would do, and does nothing.",
    )
    add_request_options(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="How the plan is printed.")


def run(args: argparse.Namespace) -> int:
    """Print the plan. Raises SlipwayError."""
    from flows.cli.options import request_of

    plan = asyncio.run(_plan(request_of(args)))
    if args.output == "json":
        print(json.dumps({**asdict(plan), "reference": plan.reference, "effects": plan.effects()}))
    else:
        print(as_text(plan))
    return 0


def as_text(plan: ReleasePlan) -> str:
    """The plan for people."""
    if plan.nothing_to_release:
        return f"{plan.image}: nothing to release: {plan.why}"
    lines = [f"{plan.reference}", f"  why  {plan.why}"]
    if plan.previous_version:
        lines.append(f"  after {plan.previous_version}")
    commits = [f"commit {commit}" for commit in plan.deciding_commits]
    lines += [f"  {line}" for line in with_rest(commits, plan.deciding_commit_count)]
    lines += ["  would:", *(f"    - {effect}" for effect in plan.effects())]
    return "\n".join(lines)


async def _plan(request: ReleaseRequest) -> ReleasePlan:
    from flows.planning import plan_release
    from flows.sources import open_source
    from flows.workshop import open_workshop

    async with open_workshop(request) as shop:
        checkout = await open_source(shop)
        try:
            return await plan_release(shop, checkout, run="plan", reserve=False)
        finally:
            await checkout.close()

"""Print what `slipway release` with the same options would do, without doing it."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.display.choice import add_progress_option, display
from prefect_slipway.flows.cli.folding import print_facts
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.flows.values.components import ComponentsPlan

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.display.lines import Display
    from prefect_slipway.flows.request.release import ReleaseRequest
    from prefect_slipway.flows.values.plan import ReleasePlan


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options

    add_request_options(parser)
    add_format_option(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the plan. Raises SlipwayError."""
    from prefect_slipway.flows.cli.options import request_of
    from prefect_slipway.flows.run.release_file import with_release_file

    plan = plan_of(with_release_file(request_of(args)), args.progress)
    if args.format == "json":
        print(json.dumps(plan.as_dict()))
    else:
        print_facts(plan_text(plan))
    return 0


def plan_text(plan: ReleasePlan | ComponentsPlan) -> str:
    """For a terminal."""
    if isinstance(plan, ComponentsPlan):
        return plan.as_text()
    from prefect_slipway.flows.reporting.plan_report import plan_as_text

    return plan_as_text(plan)


def plan_of(request: ReleaseRequest, progress: str) -> ReleasePlan | ComponentsPlan:
    """Plan a release without reserving anything. Raises SlipwayErrors."""
    with display(progress) as shown:
        return asyncio.run(_plan_of(request, shown))


async def _plan_of(request: ReleaseRequest, shown: Display) -> ReleasePlan | ComponentsPlan:
    from prefect_slipway.flows.planning.decide import plan_release
    from prefect_slipway.flows.planning.source import look_into, secrets_of
    from prefect_slipway.flows.planning.who_builds import with_nodes
    from prefect_slipway.flows.reporting.watch import shown_step
    from prefect_slipway.flows.run.open_run import open_run
    from prefect_slipway.flows.run.sources import open_source

    async with open_run(request) as run:
        with shown_step("fetch source", shown.step):
            checkout = await open_source(run)
        async with checkout:
            with shown_step("plan version", shown.step):
                await run.use_release_file(checkout)
                if run.components is not None:
                    from prefect_slipway.flows.planning.components import plan_components

                    return (await plan_components(run, checkout))[0]
                source = look_into(run, checkout)
                await run.see_secrets(secrets_of(source))
                plan, _ = await plan_release(run, source, claimant=None)
        with shown_step("check builder", shown.step):
            await run.builder.check(source.registries.host)
            if plan.to_build() and run.builder.is_several:
                from prefect_slipway.flows.run.nodes import look_at_builder

                builder = await look_at_builder(run, source.registries.host)
                plan = with_nodes(plan, source, builder, emulate=request.builder.emulate)
        return plan

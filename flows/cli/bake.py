"""`slipway bake`: release several images of one source, described by docker-bake.json or a Compose file."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.flows.planning.image_set import SetPlan
    from prefect_slipway.flows.request.image_set import SetRequest

    from prefect_slipway.flows.reporting.watch import Outcome


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from prefect_slipway.flows.request.image_set import SetRequest

    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.cli.run_flow import add_output_option

    parser = subparsers.add_parser(
        "bake",
        help="release several images as one",
        description=(
            "Builds the targets of docker-bake.json or a Compose file, each after its bases, and tags all of them with "
            "one version, or none."
        ),
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[FILE] [TARGET...]",
        help="A file ends in .json, .yaml or .yml.",
    )
    add_request_options(parser, SetRequest, positional=None)
    parser.add_argument("-f", dest="files", action="append", metavar="FILE", help="Short for --file.")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--print", action="store_true", help="Print what the files say, as a bake file, and do nothing.")
    shown.add_argument("--plan", action="store_true", help="Print what the release would do, and do nothing.")
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: released, or nothing to release. Raises SlipwayError."""
    from prefect_slipway.flows.cli.run_flow import follow

    request = _request(args)
    if args.print:
        print(json.dumps(asyncio.run(_definition(request)), indent=2))
        return 0
    if args.plan:
        from prefect_slipway.flows.reporting.set_report import plan_as_text

        print(plan_as_text(asyncio.run(_plan(request))))
        return 0

    def start() -> Coroutine[Any, Any, Outcome]:
        from prefect_slipway.flows.release_set import release_set

        from prefect_slipway.flows.run.preflight import check_release

        check_release(request)
        return release_set(request)

    return follow(start, args.output)


def _request(args: argparse.Namespace) -> SetRequest:
    from prefect_slipway.flows.request.image_set import SetRequest

    from prefect_slipway.flows.cli.options import read_request

    for word in args.words:
        if "/" in word or word.endswith((".json", ".yaml", ".yml", ".hcl")):
            args.files = [*(args.files or []), word]
        else:
            args.targets = [*(args.targets or []), word]
    if args.variables:
        args.variables = [text if "=" in text else _from_environment(text) for text in args.variables]
    return read_request(args, SetRequest)


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise InvalidOption(f"--var {name} has no value, and the environment has none", action="write NAME=VALUE")
    return f"{name}={os.environ[name]}"


async def _definition(request: SetRequest) -> dict[str, Any]:
    from prefect_slipway.flows.planning.set_plan import read_set
    from prefect_slipway.flows.run.workshop import open_workshop

    from prefect_slipway.flows.bake.printed import as_bake
    from prefect_slipway.flows.run.sources import open_source

    # Looked at only, so a work tree may be as it is.
    release = request.as_release().model_copy(update={"allow_dirty": True})
    async with open_workshop(release) as shop, await open_source(shop) as checkout:
        return as_bake(read_set(request, checkout))


async def _plan(request: SetRequest) -> SetPlan:
    from prefect_slipway.flows.planning.set_plan import name_images, plan_set, read_set
    from prefect_slipway.flows.run.workshop import open_workshop

    from prefect_slipway.flows.run.sources import open_source

    async with open_workshop(request.as_release()) as shop:
        async with await open_source(shop) as checkout:
            targets = read_set(request, checkout)
            images = name_images(request, shop, targets, checkout.name)
            plan = await plan_set(request, shop, checkout, targets, images, run="plan", reserve=False)
        await shop.check_builder()
        return plan

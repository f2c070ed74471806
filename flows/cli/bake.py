"""`slipway bake`: release several images of one source, described by a bake file or a Compose file."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.flows.request.release import ReleaseRequest
    from prefect_slipway.flows.values.result import ReleaseResult


FAILED = {"released": False}
"""Of the answer in JSON, if it failed."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from prefect_slipway.flows.cli.display.choice import add_progress_option
    from prefect_slipway.flows.cli.formats import add_format_option, add_quiet_option
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.bake import Bake
    from prefect_slipway.flows.request.release import OF_ONE_IMAGE, ReleaseRequest

    parser = subparsers.add_parser(
        "bake",
        description=(
            "Build the targets of bake files (docker-bake.hcl, docker-bake.json) or Compose files, each after its "
            "bases, and tag either all of them with one version or none."
        ),
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[FILE] [TARGET...]",
        help="File names end in .hcl, .json, .yaml or .yml.",
    )
    add_request_options(parser, ReleaseRequest, positional=None, without=OF_ONE_IMAGE)
    add_request_options(parser, Bake, positional=None)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--print", action="store_true", help="Print the files' definitions as a bake file, and release nothing."
    )
    shown.add_argument("--plan", action="store_true", help="Print what the release would do, and release nothing.")
    add_format_option(parser)
    add_progress_option(parser)
    add_quiet_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: released, or nothing to release. Raises SlipwayError."""
    from prefect_slipway.flows.cli.run_flow import follow
    from prefect_slipway.flows.run.release_file import with_release_file

    request = with_release_file(_request(args))
    if args.print:
        print(json.dumps(asyncio.run(_definition(request)), indent=2))
        return 0
    if args.plan:
        from prefect_slipway.flows.cli.display.choice import progress_of
        from prefect_slipway.flows.cli.plan import plan_of
        from prefect_slipway.flows.reporting.plan_report import plan_as_text

        print(plan_as_text(plan_of(request, progress_of(args))))
        return 0

    def start() -> Coroutine[Any, Any, ReleaseResult]:
        from prefect_slipway.flows.release import release
        from prefect_slipway.flows.run.preflight import check_release

        check_release(request)
        return release(request)

    return follow(start, args)


def _request(args: argparse.Namespace) -> ReleaseRequest:
    from prefect_slipway.flows.cli.options import given_options, read_request
    from prefect_slipway.flows.request.bake import Bake
    from prefect_slipway.flows.request.release import OF_ONE_IMAGE, ReleaseRequest

    for word in args.words:
        if "/" in word or word.endswith((".json", ".yaml", ".yml", ".hcl")):
            args.files = [*(args.files or []), word]
        else:
            args.targets = [*(args.targets or []), word]
    if args.variables:
        args.variables = [text if "=" in text else _from_environment(text) for text in args.variables]
    bake = read_request(args, Bake)
    values = given_options(args, ReleaseRequest, without=OF_ONE_IMAGE)
    if values.get("build", {}).get("network") == "host":
        # What a person types is thereby allowed.
        bake = bake.changed({"allow": [*bake.allow, "network.host"]})
    return ReleaseRequest.read({**values, "bake": bake})


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise InvalidOption(
            f"--var {name} has no value, and the environment variable is not set", action="write NAME=VALUE"
        )
    return f"{name}={os.environ[name]}"


async def _definition(request: ReleaseRequest) -> dict[str, Any]:
    from prefect_slipway.flows.bake.printed import as_bake
    from prefect_slipway.flows.build_options.places import Places
    from prefect_slipway.flows.planning.source import read_targets
    from prefect_slipway.flows.run.open_run import open_run
    from prefect_slipway.flows.run.sources import open_source

    assert request.bake is not None, "the command asks for several images"
    # Only a plan, so a work tree may have changes.
    any_tree = request.changed({"checkout": {"allow_dirty": True}})
    async with open_run(any_tree) as run, await open_source(run) as checkout:
        return as_bake(read_targets(request.bake, Places.of(checkout.path, checkout.top, request.bake.allow)))

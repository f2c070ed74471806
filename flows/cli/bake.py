"""Build the targets of bake files (docker-bake.hcl, docker-bake.json) or Compose files, each after its bases, and tag
either all of them with one version or none."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.bake_files import Typed, add_short_forms, add_shown, quick, shown
from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.flows.request.release import ReleaseRequest

__all__ = ["FAILED", "add_options", "quick", "run"]

FAILED = {"released": False}
"""Of the answer in JSON, if it failed."""

# Options of a request that bake has as short forms, for what is typed wins over the files.
_SHORT = ("build.no_cache", "build.provenance", "build.sbom")


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.display.choice import add_progress_option
    from prefect_slipway.flows.cli.formats import add_format_option, add_quiet_option
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.bake import Bake
    from prefect_slipway.flows.request.release import OF_ONE_IMAGE, ReleaseRequest

    parser.add_argument(
        "words",
        nargs="*",
        metavar="[FILE] [TARGET...]",
        help="File names end in .hcl, .json, .yaml or .yml.",
    )
    add_request_options(parser, ReleaseRequest, positional=None, without=(*OF_ONE_IMAGE, *_SHORT))
    add_request_options(parser, Bake, positional=None)
    add_short_forms(parser)
    instead = parser.add_mutually_exclusive_group()
    add_shown(instead)
    instead.add_argument("--plan", action="store_true", help="Print what the release would do, and release nothing.")
    instead.add_argument(
        "--call", metavar="METHOD", help="Instead of releasing, check, outline or list targets of each Dockerfile."
    )
    instead.add_argument("--check", action="store_const", dest="call", const="check", help="Short for --call check.")
    parser.add_argument("--metadata-file", metavar="FILE", help="Write each target's result to this file, as JSON.")
    add_format_option(parser)
    add_progress_option(parser, as_buildx=True)
    add_quiet_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: released, or nothing to release. Raises SlipwayError."""
    typed = Typed.of(args)
    if args.print or args.list is not None:
        print(_shown(args, typed))
        return 0
    from prefect_slipway.flows.build_options import values
    from prefect_slipway.flows.cli.build_results import result_files
    from prefect_slipway.flows.cli.run_flow import follow
    from prefect_slipway.flows.run.release_file import with_release_file

    asked = values.call(args.call or "")
    request = with_release_file(_request(args, typed))
    if args.plan:
        from prefect_slipway.flows.cli.display.choice import progress_of
        from prefect_slipway.flows.cli.folding import print_facts
        from prefect_slipway.flows.cli.plan import plan_of, plan_text

        print_facts(plan_text(plan_of(request, progress_of(args))))
        return 0

    with result_files(None, args.metadata_file) as (_, metadata):
        if asked is not None:
            import asyncio

            from prefect_slipway.flows.cli.bake_call import call
            from prefect_slipway.flows.cli.display.choice import progress_of

            return asyncio.run(call(_of_any_tree(request), asked, progress_of(args), metadata))
        return follow(request, args, metadata)


def _request(args: argparse.Namespace, typed: Typed) -> ReleaseRequest:
    from prefect_slipway.flows.build_options.override import Override
    from prefect_slipway.flows.build_options.places import ENTITLEMENTS
    from prefect_slipway.flows.cli.options import given_options
    from prefect_slipway.flows.request.bake import Bake
    from prefect_slipway.flows.request.release import OF_ONE_IMAGE, ReleaseRequest

    values = given_options(args, ReleaseRequest, without=(*OF_ONE_IMAGE, *_SHORT))
    # What a person types is thereby allowed.
    allowed = {override.value for override in map(Override.read, typed.overrides) if override.key == "entitlements"}
    allowed |= {"network.host"} if values.get("build", {}).get("network") == "host" else set()
    allow = [*typed.allow, *sorted(allowed & ENTITLEMENTS)]
    given = {name: value for name, value in typed._replace(allow=allow)._asdict().items() if value}
    bake = Bake.read({**given_options(args, Bake, without=Typed._fields), **given})
    return ReleaseRequest.read({**values, "bake": bake})


def _shown(args: argparse.Namespace, typed: Typed) -> str:
    stdin = sys.stdin.read() if "-" in typed.files else None
    if "quick" in args:
        folder = Path(args.source).resolve()
        try:
            return shown(args.list, typed, folder, None, stdin)
        except InvalidOption:
            if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
                raise
        # A file may be elsewhere in the work tree, which git knows.
        from prefect_slipway.flows.cli.parser import command_parser

        args = command_parser("bake").parse_args(args.quick)
    # Imported late, so that `--print` of a directory starts fast.
    import asyncio

    from prefect_slipway.flows.run.release_file import with_release_file

    return asyncio.run(_of_source(args.list, with_release_file(_request(args, typed)), stdin))


async def _of_source(wanted: str | None, request: ReleaseRequest, stdin: str | None) -> str:
    from prefect_slipway.flows.run.open_run import open_run
    from prefect_slipway.flows.run.sources import open_source

    assert request.bake is not None, "the command asks for several images"
    bake = request.bake
    typed = Typed(bake.files, bake.targets, bake.variables, bake.overrides, bake.allow)
    async with open_run(_of_any_tree(request)) as run, await open_source(run) as checkout:
        return shown(wanted, typed, checkout.path, checkout.top, stdin)


def _of_any_tree(request: ReleaseRequest) -> ReleaseRequest:
    """Only a look, so a work tree may have changes."""
    return request.changed({"checkout": {"allow_dirty": True}})

"""Build an image that was released with --reproducible again, from the commit, options and base images that its
provenance names, without a cache, and compare each platform's digest. It pushes no image and needs no Prefect server.
With --sign, a key states that the digests are equal, for `slipway verify --rebuilt`."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.display.choice import add_progress_option, display
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.infra.domain.errors import Interrupted

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.display.lines import Display
    from prefect_slipway.flows.rebuilding.rebuild import Rebuilt
    from prefect_slipway.flows.request.rebuild import RebuildRequest

FAILED = {"rebuilt": False}
"""Of the answer in JSON, if it failed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.rebuild import RebuildRequest

    add_request_options(parser, RebuildRequest, positional="reference")
    add_format_option(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: each platform has the same digest. Raises NotRebuilt, NotRebuildable and other SlipwayErrors."""
    from prefect_slipway.flows.cli.options import read_request
    from prefect_slipway.flows.request.rebuild import RebuildRequest

    request = read_request(args, RebuildRequest)
    with display(args.progress) as shown:
        try:
            rebuilt = asyncio.run(_rebuilt(request, shown))
        except (KeyboardInterrupt, asyncio.CancelledError) as signal:
            raise Interrupted("the rebuild was interrupted") from signal
    print(json.dumps(rebuilt.as_dict()) if args.format == "json" else "\n".join(rebuilt.lines()))
    return 0


async def _rebuilt(request: RebuildRequest, shown: Display) -> Rebuilt:
    from prefect_slipway.flows.rebuilding.rebuild import rebuild
    from prefect_slipway.flows.reporting.watch import shown_step
    from prefect_slipway.flows.run.interrupts import interruptible

    with interruptible():
        return await rebuild(request, lambda name: shown_step(name, shown.step), shown.build)

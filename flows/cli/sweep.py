"""Remove the objects of runs whose Lease has expired, and shared builders that were unused for their idle time.
Everything in use stays, so you can run it at any time. Removals are reported to the Prefect server (PREFECT_API_URL, or
else the embedded one) for `slipway metrics`; it also works without a server."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.cluster_options import add_cluster_options
from prefect_slipway.flows.cli.display.choice import add_progress_option, display
from prefect_slipway.infra.domain.errors import StackDown

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.display.lines import Display


def add_options(parser: argparse.ArgumentParser) -> None:
    add_cluster_options(parser)
    add_progress_option(parser)


def run(args: argparse.Namespace) -> int:
    """Raises Leftovers and ClusterErrors. A Prefect server that does not answer only causes a message, not a
    failure."""
    known = _server_known()
    with display(args.progress) as progress:
        gone = asyncio.run(_sweep(args.context, args.namespace, progress, known=known))
    print("\n".join(f"removed {name}" for name in gone) if gone else "nothing had expired")
    return 0


def _server_known() -> bool:
    """Whether there is a Prefect server to tell; asked first, as its address is read when Prefect is imported."""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    try:
        use_prefect_server()
    except StackDown:
        return False
    return True


async def _sweep(context: str | None, namespace: str | None, progress: Display, *, known: bool) -> list[str]:
    from prefect_slipway.flows.reporting.watch import shown_step
    from prefect_slipway.flows.run.cluster import open_api
    from prefect_slipway.infra.kubernetes.builders.sweep import sweep

    async with open_api(context, namespace) as api:
        with shown_step("sweep", progress.step):
            swept = await sweep(api)
        if swept.objects and known:
            from prefect_slipway.flows.reporting.events import announce_swept

            if not await announce_swept(api.namespace, swept.objects):
                progress.say("the Prefect server did not record it, so metrics do not count it")
    return list(swept.objects)

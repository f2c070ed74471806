"""`slipway sweep`: remove from a namespace what runs that died have left."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from flows.cli.cluster_options import add_cluster_options


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser(
        "sweep",
        description=(
            "Removes the objects of runs whose Lease has expired, and shared builders that nobody has used for their "
            "idle time. What lives is left alone, so it may run at any time."
        ),
    )
    add_cluster_options(parser)


def run(args: argparse.Namespace) -> int:
    """Raises Leftovers and ClusterErrors."""
    gone = asyncio.run(_sweep(args.context, args.namespace))
    print("\n".join(f"removed {name}" for name in gone) if gone else "nothing had expired")
    return 0


async def _sweep(context: str | None, namespace: str | None) -> list[str]:
    from flows.cluster import open_api
    from infra.kubernetes.sweep import sweep

    async with open_api(context, namespace) as api:
        swept = await sweep(api)
    return [*swept.roots, *(name for name in swept.objects if name not in swept.roots)]

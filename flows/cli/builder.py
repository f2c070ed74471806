"""Show or clean a builder, like `buildctl debug workers`, `du`, `prune` and `debug histories`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.builder_address import add_address_options, chosen_builder, embedded_stack
from prefect_slipway.infra.domain.text import human_size

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.client import BuildKit


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["info", "du", "prune", "history"], help="What to do.")
    parser.add_argument(
        "--filter", action="append", default=[], metavar="EXPRESSION", help="Filter of the records, e.g. type==regular."
    )
    parser.add_argument("--all", action="store_true", help="Also prune internal records and those of frontends.")
    add_address_options(parser)


def run(args: argparse.Namespace) -> int:
    """Raises BuilderErrors, StackDown, InvalidOption."""
    asyncio.run(_show(args))
    return 0


async def _show(args: argparse.Namespace) -> None:
    from prefect_slipway.infra.buildkit.client import BuildKit

    address, _ = chosen_builder(args, embedded_stack())
    async with BuildKit(address) as buildkit:
        shown = {"info": _info, "du": _disk_usage, "prune": _prune, "history": _history}[args.what]
        async for line in shown(buildkit, args):
            print(line, flush=True)


async def _info(buildkit: BuildKit, args: argparse.Namespace) -> AsyncIterator[str]:
    info = await buildkit.info()
    yield f"version    {info.version or 'unknown'} {info.revision}".rstrip()
    for worker in await buildkit.workers():
        yield f"worker     {worker.id}"
        yield f"platforms  {', '.join(worker.platforms)}"


async def _disk_usage(buildkit: BuildKit, args: argparse.Namespace) -> AsyncIterator[str]:
    records = await buildkit.disk_usage(args.filter)
    for record in sorted(records, key=lambda record: record.size, reverse=True):
        use = "in use" if record.in_use else ""
        yield f"{human_size(record.size):>10}  {use:<6}  {record.kind:<18}  {record.description}"
    yield f"{human_size(sum(record.size for record in records)):>10}  in {len(records)} records"


async def _prune(buildkit: BuildKit, args: argparse.Namespace) -> AsyncIterator[str]:
    total = 0
    async for record in buildkit.prune(args.filter, everything=args.all):
        total += record.size
        yield f"{human_size(record.size):>10}  {record.kind:<18}  {record.description}"
    yield f"{human_size(total):>10}  freed"


async def _history(buildkit: BuildKit, args: argparse.Namespace) -> AsyncIterator[str]:
    async for build in buildkit.history():
        begun = datetime.fromtimestamp(build.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        took = f"{build.completed - build.created:.1f}s" if build.completed is not None else "running"
        yield f"{begun}  {took:>9}  {build.ref}  {build.error or 'ok'}"

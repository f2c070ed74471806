"""Register work pools, block types, deployments and automations with the Prefect server. It changes only what differs,
so you can run it at any time."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import pair

if TYPE_CHECKING:
    from prefect_slipway.flows.registration import Registered

_KINDS = ("pools", "blocks", "deployments", "automations")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="Your own deployments, a prefect.yaml. Default: the deployments that Slipway ships.",
    )
    parser.add_argument("--only", action="append", choices=_KINDS, help="Register only this kind. May be repeated.")
    parser.add_argument(
        "--pool",
        action="append",
        metavar="NAME",
        help=(
            "Register only this work pool and its deployments. May be repeated. Default: slipway, and "
            "slipway-kubernetes if a worker serves it."
        ),
    )
    parser.add_argument(
        "--samples",
        action="store_true",
        help="Also register the samples: deployments of one application to copy, and a notification.",
    )
    parser.add_argument(
        "--job-variable",
        action="append",
        metavar="NAME=VALUE",
        help="Default value of a job variable of --pool, e.g. image=REFERENCE. May be repeated.",
    )
    add_format_option(parser)


def run(args: argparse.Namespace) -> int:
    """Raises InvalidOption and PrefectError, after printing what was registered before."""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    done = asyncio.run(_register(args))
    if args.format == "json":
        print(json.dumps([dataclasses.asdict(item) for item in done], indent=2))
    return 0


async def _register(args: argparse.Namespace) -> list[Registered]:
    from prefect_slipway.flows.registration import Kind, register

    kinds = [Kind(item) for item in args.only or _KINDS]
    done = []
    variables = dict(pair("--job-variable", text, value_needed=True) for text in args.job_variable or ())
    if variables and not args.pool:
        raise InvalidOption("--job-variable needs a single pool", action="choose the pool with --pool")
    async for item in register(args.file, kinds, args.pool or (), variables, samples=args.samples):
        done.append(item)
        if args.format == "text":
            changes = f" ({', '.join(item.changes)})" if item.changes else ""
            print(f"{item.kind:<11} {item.name:<40} {item.outcome}{changes}", flush=True)
    return done

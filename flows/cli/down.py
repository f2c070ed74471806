"""`slipway down`: stop the embedded stack."""

from __future__ import annotations

import argparse
from typing import Any

from flows.cli.stack_options import stack_config


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser(
        "down",
        description="Stops the parts that `slipway up` started, and nothing else.",
    )
    parser.add_argument(
        "--purge", action="store_true", help="also remove all state: images, secrets, the record of runs"
    )


def run(args: argparse.Namespace) -> int:
    from infra.local.stack import Stack

    stopped = Stack(stack_config(args)).down(purge=args.purge)
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return 0

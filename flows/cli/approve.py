"""Let a run that waits for an approval continue, or end it. Resume in the UI does the same."""

from __future__ import annotations

import argparse
import asyncio


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="Id or name of the run.")
    parser.add_argument(
        "--refuse", action="store_true", help="Reject: end the run before anything is built, pushed or rolled out."
    )
    parser.add_argument("--comment", default="", help="Reason to record with the run.")
    parser.add_argument(
        "--by", default=None, metavar="NAME", help="Name to record with the answer. Default: your login name."
    )


def run(args: argparse.Namespace) -> int:
    """0: the run took the answer. Raises StackDown, InvalidOption."""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    from prefect_slipway.flows.run.approval import Approval, give_answer
    from prefect_slipway.infra.common.account import login_name

    answer = Approval(
        answer="refuse" if args.refuse else "approve",
        comment=args.comment,
        by=(login_name() or "") if args.by is None else args.by,
    )
    print(f"{asyncio.run(give_answer(args.run, answer))}: {answer.said}")
    return 0

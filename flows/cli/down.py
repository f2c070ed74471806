"""Stop the parts that `slipway up` started, and nothing else."""

from __future__ import annotations

import argparse

from prefect_slipway.flows.cli.stack_options import stack_config


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--purge", action="store_true", help="Also remove all state: images, secrets and the record of runs."
    )
    parser.add_argument("--force", action="store_true", help="Stop the stack even if runs use it now; they fail.")


def run(args: argparse.Namespace) -> int:
    from prefect_slipway.infra.local.stack import Stack

    config = stack_config(args)
    stopped = Stack(config).down(purge=args.purge, force=args.force)
    if args.purge:
        from prefect_slipway.flows.cli.logout import log_out
        from prefect_slipway.flows.run.logins import Logins

        logins = Logins.of_this_user()
        log_out(logins, logins.of_home(config.home))
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return 0

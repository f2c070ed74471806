"""Start the missing parts of the embedded stack and wait until all of them answer. To use your own servers instead, set
PREFECT_API_URL and VAULT_ADDR."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.display.choice import add_progress_option, display, progress_of
from prefect_slipway.flows.cli.prefect_settings import register_blocks, rename_histories
from prefect_slipway.flows.cli.stack_options import add_stack_options, stack_config

if TYPE_CHECKING:
    from prefect_slipway.infra.local.connection import StackConnection


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="Print nothing unless something fails.")
    add_progress_option(parser)
    add_stack_options(parser)


def run(args: argparse.Namespace) -> int:
    from prefect_slipway.flows.reporting.watch import StepNews
    from prefect_slipway.infra.local.stack import Stack

    stack = Stack(stack_config(args))
    registry_before = stack.registry_before
    with display(progress_of(args)) as shown:

        def part(name: str, seconds: float | None) -> None:
            shown.step(StepNews(f"start {name}", "running" if seconds is None else "completed", seconds))

        connection = stack.up(shown.say, part)
        if stack.embeds_prefect:
            register_blocks(connection)
    if connection.registry is not None and connection.registry != registry_before:
        rename_histories(connection, registry_before)
    if not args.quiet:
        _show(connection)
    return 0


def _show(connection: StackConnection) -> None:
    print(f"Builder   {connection.builder}")
    print(f"Registry  {connection.registry or 'none; choose one with --image and --credentials'}")
    print(f"Vault     {connection.vault_address}")
    print(f"Prefect   {connection.prefect_ui_url}")

"""Print the code that lets a shell complete commands, options and values: contexts and namespaces of a cluster, saved
blocks, deployments, waiting runs, and released images with their versions."""

from __future__ import annotations

import argparse
from typing import NoReturn


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="Your shell.")


def run(args: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    code = shellcode(["slipway"], shell=args.shell)
    # Zsh's part is loaded as a function's file, or by `source`, which needs its completion system.
    start = "autoload -Uz compinit && compinit\n" if args.shell == "zsh" else ""
    print(start + code)
    return 0


def complete(line: str) -> NoReturn:
    """Answer the shell, by argcomplete's protocol, and exit. `line`: as typed so far."""
    import argcomplete

    from prefect_slipway.flows.cli.commands import COMMANDS
    from prefect_slipway.flows.cli.completers import with_completers
    from prefect_slipway.flows.cli.parser import Parser, command_module

    parser = Parser(prog="slipway")
    commands = parser.add_subparsers(dest="command")
    typed = line.split()[1:2]
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.summary)
        if typed == [name]:
            command_module(name).add_options(one)
            with_completers(one)
    argcomplete.autocomplete(parser, always_complete_options="long")
    raise SystemExit(1)  # it exits itself

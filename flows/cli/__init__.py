"""The command line. Kept light: `slipway up`, `build` and the like must start without Prefect and pydantic.

A command is a module with `add_parser(subparsers)` and `run(args) -> int`, named in `COMMANDS`. What it needs beyond
the standard library and the domain it imports inside `run`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from flows.domain.errors import SlipwayError

COMMANDS = {
    "release": "flows.cli.release",
    "plan": "flows.cli.plan",
    "up": "flows.cli.up",
    "status": "flows.cli.status",
    "down": "flows.cli.down",
    "doctor": "flows.cli.doctor",
}

FAILED = 1
USAGE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 1 failed, 2 usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(arguments).parse_args(arguments)
        code: int = importlib.import_module(COMMANDS[args.command]).run(args)
        # A reader that went away (`| head`) shows when the rest is written: here, not at the interpreter's exit.
        sys.stdout.flush()
        return code
    except SystemExit as ended:  # argparse: --help, --version, or an option that it does not know
        return ended.code if isinstance(ended.code, int) else USAGE
    except SlipwayError as error:
        if _debug():
            raise
        print(f"slipway: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        if _debug():
            raise
        print("slipway: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway",
        description="Releases container images: source to versioned, pushed, verified and observable image.",
        epilog="exit codes: 0 done, 1 failed, 2 usage, 130 interrupted; SLIPWAY_DEBUG=1 shows tracebacks",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print Slipway's version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # The one that was asked for; all of them for --help and for what is none of them.
    named = [name for name in arguments[:1] if name in COMMANDS]
    for name in named or COMMANDS:
        importlib.import_module(COMMANDS[name]).add_parser(subparsers)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"slipway {version('slipway')}")
        parser.exit()


def _debug() -> bool:
    return os.environ.get("SLIPWAY_DEBUG") == "1"

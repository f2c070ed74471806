"""The command line. Kept light: `slipway up`, `build` and the like must start without Prefect and pydantic.

A command is a module with `add_options(parser)` and `run(args) -> int`, named in `commands`; its docstring is what the
command's help says first. Only the module of the command that was typed is imported.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress

from prefect_slipway.flows.cli.commands import COMMANDS
from prefect_slipway.flows.cli.guarded_output import StreamUnwritable, guarded
from prefect_slipway.flows.cli.parser import command_module, command_parser, overview, unknown_command
from prefect_slipway.flows.cli.utf8_mode import enter_utf8_mode
from prefect_slipway.infra.domain.errors import Interrupted, OutputUnwritable, SlipwayError

_GARBAGE_THRESHOLD = 50_000

# httpx imports its own command line, and with it rich, click and pygments, wherever these are installed: this is how
# Python says that it cannot be had, and httpx goes on without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

FAILED = 1
USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code (see `overview`)."""
    _open_streams()
    enter_utf8_mode()
    if not os.path.isabs(os.path.expanduser("~")):  # noqa: PTH111, PTH117
        # A user without a name, and without HOME: container engines give it this one.
        os.environ["HOME"] = "/"
    try:
        with guarded():
            return _run(argv)
    finally:
        _let_go()


def _open_streams() -> None:
    """What a closed standard stream (`>&-`) is given goes nowhere, instead of into the next file that is opened."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # The lowest descriptor that is free, and so the stream's own.
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123


def _let_go() -> None:
    """What a stream still holds and cannot write goes nowhere: Python would end with an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(argv: Sequence[str] | None) -> int:
    # Imports make very many objects and no garbage: looking for it takes a fifth of a short command's time.
    gc.set_threshold(_GARBAGE_THRESHOLD)
    args: Namespace | None = None
    if "_ARGCOMPLETE" in os.environ:
        from prefect_slipway.flows.cli.completion import complete

        complete(os.environ.get("COMP_LINE", ""))
    try:
        try:
            args = _read(sys.argv[1:] if argv is None else argv)
            code: int = command_module(args.command).run(args)
        except SystemExit as ended:  # --help, or wrong usage
            code = ended.code if isinstance(ended.code, int) else USAGE
        # A closed reader (`| head`) and a full disk show when the rest is written: here, not at exit.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return FAILED
    except (KeyboardInterrupt, Exception) as error:
        cause = _cause(error)
        if cause is None or _debug():
            raise
        # The terminal may have been closed.
        with suppress(OSError):
            _tell(cause, args)
        return cause.exit_code
    finally:
        # The interpreter looks for garbage once more at its end, among all that goes with the process anyway.
        gc.freeze()


def _read(arguments: Sequence[str]) -> Namespace:
    """The command's arguments. Raises SystemExit for help, and for what no command knows."""
    match arguments:
        case [] | ["help" | "-h" | "--help"]:
            print(overview())
            sys.exit(0)
        case ["version" | "-V" | "--version"]:
            from prefect_slipway.infra.common.distribution import VERSION

            print(f"slipway {VERSION}")
            sys.exit(0)
        case ["help", name]:
            return _read([name, "--help"])
        case [name, *rest] if name in COMMANDS:
            # Reading a bake file should not take the time that all options of a release take.
            quick: Namespace | None = command_module(name).quick(rest) if name == "bake" else None
            if quick is not None:
                return quick
            parser = command_parser(name)
            args, unknown = parser.parse_known_args(rest, Namespace(command=name))
            if unknown:
                parser.unknown(unknown)
            return args
    raise unknown_command(arguments[0])


def _tell(cause: SlipwayError, args: Namespace | None) -> None:
    """Say what failed: on standard error in the form of the progress, for programs on standard output, too."""
    shown_as, progress = getattr(args, "format", ""), getattr(args, "progress", "")
    if "json" in {shown_as, progress}:
        from prefect_slipway.flows.cli.formats import failure

    if progress == "json":
        print(json.dumps({"event": "error", "time": round(time.time(), 3), **failure(cause)}), file=sys.stderr)
    else:
        print(f"slipway: {cause}", file=sys.stderr)
        if cause.page:
            print(f"Run: {cause.page}", file=sys.stderr)
    if args is not None and shown_as == "json":
        print(json.dumps({**getattr(command_module(args.command), "FAILED", {}), **failure(cause)}))


def _cause(error: BaseException) -> SlipwayError | None:
    """The cause to tell, None for a fault of Slipway's own. On a full disk everything else is its consequence."""
    from prefect_slipway.infra.local.causes import local_cause
    from prefect_slipway.infra.local.home import stack_home

    # Pydantic wraps what comes while it serializes.
    if KeyboardInterrupt in {type(error), type(error.__cause__)}:
        return Interrupted("interrupted", action="")
    if isinstance(error, StreamUnwritable):
        return OutputUnwritable(f"the command's output cannot be written: {error.strerror}")
    named = error if isinstance(error, SlipwayError) else _prefects(error)
    try:
        return local_cause(error, stack_home(os.environ)) or named
    except SlipwayError:
        return named


def _prefects(error: BaseException) -> SlipwayError | None:
    """The cause behind an error of Prefect's client: each command that talks to a server may meet it, at any moment."""
    if "prefect" not in sys.modules:
        return None
    from prefect_slipway.flows.server.errors import is_prefects, prefect_cause

    return prefect_cause(error) if is_prefects(error) else None


def _debug() -> bool:
    return os.environ.get("SLIPWAY_DEBUG") == "1"

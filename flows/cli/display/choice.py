"""`--progress`: the form in which a command tells its progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from prefect_slipway.flows.cli.display.lines import Display, Json, Plain, Quiet
from prefect_slipway.flows.cli.guarded_output import Guarded, is_capable
from prefect_slipway.infra.domain.errors import InvalidOption

FORMS = ("auto", "plain", "json", "quiet")
OF_BUILDX = {"tty": "tty", "rawjson": "json", "none": "quiet"}
"""Further words of docker buildx, and the form that each is here."""


def add_progress_option(parser: argparse.ArgumentParser, *, as_buildx: bool = False) -> None:
    """To commands that take long. `as_buildx`: of a command of docker buildx, with its words."""
    parser.add_argument(
        "--progress",
        choices=(*FORMS, *OF_BUILDX) if as_buildx else FORMS,
        default="auto",
        help=(
            "Progress on standard error: a live display (auto, in a terminal), lines (plain), a JSON object per event "
            "(json) or none (quiet). Default: auto, which is plain elsewhere."
        ),
    )


def progress_of(args: argparse.Namespace) -> str:
    """The form for a command that also has `--quiet`. Raises InvalidOption."""
    progress = OF_BUILDX.get(args.progress, str(args.progress))
    if args.quiet and progress not in {"auto", "quiet"}:
        raise InvalidOption(f"--progress {args.progress} and --quiet cannot be used together", action="remove one")
    return "quiet" if args.quiet else progress


@contextmanager
def display(progress: str) -> Iterator[Display]:
    """The display of this form on standard error, closed at the end."""
    shown = display_for(progress, sys.stderr)
    try:
        yield shown
    finally:
        shown.close()


def display_for(progress: str, stream: TextIO) -> Display:
    """`tty`: the live display even where `auto` would not choose it."""
    if progress == "auto":
        progress = "tty" if is_capable(stream) else "plain"
    if progress == "tty":
        # Imported late: rich takes 30 ms, and only a terminal needs it.
        from prefect_slipway.flows.cli.display.live import Live

        return Live(stream.unguarded if isinstance(stream, Guarded) else stream)
    return {"plain": Plain, "json": Json, "quiet": Quiet}[progress](stream)

"""Print release notes from the commits between two versions, commits or images; without arguments, what is new since
the last version."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.noted import NotesRequest

    add_request_options(parser, NotesRequest, positional="span", without=("notes.mode", "notes.changelog"))
    parser.add_argument(
        "--format", choices=["text", "json", "markdown"], default="text", help="Output format. Default: text."
    )


def run(args: argparse.Namespace) -> int:
    """Raises InvalidOption, RefUnknown, SourceErrors, and what registry, Vault and cluster raise."""
    from prefect_slipway.flows.cli.options import given_options
    from prefect_slipway.flows.inspecting.between import notes_between
    from prefect_slipway.flows.request.noted import NotesRequest

    given = given_options(args, NotesRequest, without=("notes.mode", "notes.changelog"))
    notes = asyncio.run(notes_between(NotesRequest.read(given)))
    if args.format == "json":
        print(json.dumps(asdict(notes)))
    else:
        print(notes.markdown if args.format == "markdown" else notes.text)
    return 0

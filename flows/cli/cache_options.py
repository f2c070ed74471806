"""Command line options made from the section `cache` of a request: `--cache`, and the others behind that word."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from prefect_slipway.flows.request.cache import Cache


def add_cache_options(parser: argparse.ArgumentParser) -> None:
    """One option for each field."""
    group = parser.add_argument_group("cache in a registry", "For builders that start with an empty cache.")
    for name, field in Cache.model_fields.items():
        words = {"choices": list(get_args(field.annotation))} if name == "mode" else {"metavar": _metavar(name)}
        group.add_argument(_flag(name), dest=_dest(name), help=field.description, **words)


def given_cache(args: argparse.Namespace) -> dict[str, Any]:
    """The section from the command line; empty if nothing was given."""
    given = {name: getattr(args, _dest(name)) for name in Cache.model_fields}
    return {name: value for name, value in given.items() if value is not None}


def _flag(name: str) -> str:
    return "--cache" if name == "mode" else "--cache-" + name.replace("_", "-")


def _dest(name: str) -> str:
    return f"cache_{name}"


def _metavar(name: str) -> str:
    return name.rpartition("_")[2].upper()

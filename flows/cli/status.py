"""Show each part's state: running, stopped, or foreign (you use your own). Exits with 1 if a part is stopped, or if
your own part does not answer."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.flows.cli.stack_options import stack_config
from prefect_slipway.infra.domain.text import columns

if TYPE_CHECKING:
    from prefect_slipway.infra.local.stack import PartStatus


def add_options(parser: argparse.ArgumentParser) -> None:
    add_format_option(parser)


def run(args: argparse.Namespace) -> int:
    from prefect_slipway.infra.local.own_parts import problem
    from prefect_slipway.infra.local.stack import Stack

    parts = Stack(stack_config(args)).status()
    found = {part.name: problem(part, os.environ) for part in parts}
    if args.format == "json":
        shown = [dataclasses.asdict(part) | {"problem": found[part.name]} for part in parts]
        print(json.dumps(shown, default=str, indent=2))
    else:
        print("\n".join(columns(list(_rows(parts)))))
        for name, wrong in found.items():
            if wrong is not None:
                print(f"{name} {wrong.what}\nNext: {wrong.action}")
    return 1 if any(part.state == "stopped" for part in parts) or any(found.values()) else 0


def _rows(parts: list[PartStatus]) -> Iterator[tuple[str, ...]]:
    yield "PART", "STATE", "PID", "SINCE", "ADDRESS"
    for part in parts:
        since = f"{part.since:%Y-%m-%d %H:%M}" if part.since else "-"
        yield part.name, part.state, str(part.pid or "-"), since, part.address or "-"

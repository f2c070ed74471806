"""Print each release of an image: version, time, duration, cached share, trigger and digest."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.infra.domain.errors import ReleaseUnknown
from prefect_slipway.infra.domain.text import columns

if TYPE_CHECKING:
    from prefect_slipway.flows.reporting.history import PastRelease

_NEAR = 5
_COLUMNS = ("VERSION", "WHEN", "TOOK", "CACHED", "TRIGGER", "DIGEST")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "image", metavar="IMAGE", help="Image: REGISTRY/REPOSITORY, or a name in the embedded registry."
    )
    add_format_option(parser)


def run(args: argparse.Namespace) -> int:
    """Raises InvalidReference, ReleaseUnknown, StackDown, PrefectErrors."""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    rows = asyncio.run(_read(_image(args.image)))
    print(json.dumps([asdict(row) for row in rows]) if args.format == "json" else as_text(rows))
    return 0


def as_text(rows: list[PastRelease]) -> str:
    """One line per release, with aligned columns."""
    cells = [(row.version, row.when, f"{row.seconds:.1f} s", row.share, row.trigger, row.digest) for row in rows]
    return "\n".join(columns([_COLUMNS, *cells]))


def _image(text: str) -> str:
    """The image's full name: as a release of a source named `text` would have it."""
    from prefect_slipway.infra.domain.reference import ImageReference

    if "/" not in text:
        from prefect_slipway.flows.run.saved_blocks import running_stack
        from prefect_slipway.infra.local.config import StackConfig

        stack = running_stack(StackConfig.from_env(os.environ))
        if stack is not None and stack.registry is not None:
            text = f"{stack.registry}/{text}"
    return ImageReference.parse(text).name


async def _read(image: str) -> list[PastRelease]:
    from prefect_slipway.flows.reporting.history import images_with_history, read_history
    from prefect_slipway.flows.server.errors import prefect_client

    async with prefect_client() as client:
        rows = await read_history(client, image)
        if not rows:
            raise _unknown(image, await images_with_history(client))
    return rows


def _unknown(image: str, known: list[str]) -> ReleaseUnknown:
    near = difflib.get_close_matches(image, known, _NEAR, cutoff=0.4) or known[:_NEAR]
    there = f"there are {', '.join(near)}" if near else "nothing was released yet"
    return ReleaseUnknown(f"the Prefect server has no release of {image}", action=f"check the name: {there}")

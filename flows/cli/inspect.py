"""Print what the registry has of an image: platforms, digests, sizes, layers with the steps that made them, labels,
provenance and SBOM, and what changed since the version before."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.formats import add_format_option

if TYPE_CHECKING:
    from prefect_slipway.flows.inspecting.values import InspectedImage
    from prefect_slipway.flows.request.inspected import InspectRequest


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.inspected import InspectRequest

    add_request_options(parser, InspectRequest, positional="reference")
    add_format_option(parser)


def run(args: argparse.Namespace) -> int:
    """Raises InvalidReference, ManifestUnknown, RegistryErrors, VaultErrors."""
    from prefect_slipway.flows.cli.options import read_request
    from prefect_slipway.flows.request.inspected import InspectRequest

    image = asyncio.run(_inspected(read_request(args, InspectRequest)))
    if args.format == "json":
        print(json.dumps(image.as_dict()))
    else:
        from prefect_slipway.flows.inspecting.shown import as_text

        print(as_text(image, shutil.get_terminal_size().columns))
    return 0


async def _inspected(request: InspectRequest) -> InspectedImage:
    from prefect_slipway.flows.inspecting.open import open_image
    from prefect_slipway.flows.inspecting.read import inspect

    async with open_image(request) as (client, image, _):
        return await inspect(client, image)

"""Verify that a trusted key signed the image and each of its platforms, and the attestations that you require. It
verifies signatures of cosign with a key as well, and needs no Prefect server, nor Vault if the key is in a file."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.flows.request.verified import VerifyRequest
    from prefect_slipway.flows.trust.checked import Verified

FAILED = {"verified": False}
"""Of the answer in JSON, if it failed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.verified import VerifyRequest

    add_request_options(parser, VerifyRequest, positional="reference")
    add_format_option(parser)


def run(args: argparse.Namespace) -> int:
    """0: verified. Raises TrustErrors, RegistryErrors, VaultErrors, InvalidOption."""
    from prefect_slipway.flows.cli.options import read_request
    from prefect_slipway.flows.request.verified import VerifyRequest

    request = _trusting(read_request(args, VerifyRequest))
    if not request.trusted_keys:
        raise InvalidOption("no key is trusted", action="name a key: --key vault:MOUNT/KEY, or --key FILE")
    verified = asyncio.run(_verified(request))
    print(json.dumps(verified.as_dict()) if args.format == "json" else "\n".join(verified.lines()))
    return 0


def _trusting(request: VerifyRequest) -> VerifyRequest:
    """With the embedded Vault's key, where releases get its signature without naming it."""
    from prefect_slipway.flows.inspecting.open import embedded_key

    if request.trusted_keys or (key := embedded_key(request)) is None:
        return request
    return request.changed({"trusted_keys": [key]})


async def _verified(request: VerifyRequest) -> Verified:
    from prefect_slipway.flows.inspecting.open import open_image
    from prefect_slipway.flows.inspecting.read import named
    from prefect_slipway.flows.run.trusted_keys import in_vault, public_keys
    from prefect_slipway.flows.trust.checked import verify_image
    from prefect_slipway.infra.signing.keys import TrustedKeys

    async with open_image(request, keys_in_vault=in_vault(request.trusted_keys)) as (client, image, vault):
        verifier = TrustedKeys(await public_keys(request.trusted_keys, vault))
        return await verify_image(client, await named(client, image), verifier, request)

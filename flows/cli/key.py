"""Print the public key of a key in Vault as PEM, all versions that are not revoked; or what a cluster's admission
policy and its nodes verify with."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_slipway.flows.request.verified import KeyRequest
    from prefect_slipway.infra.domain.signing import PublicKey


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options
    from prefect_slipway.flows.request.verified import KeyRequest

    add_request_options(parser, KeyRequest, positional="key")
    parser.add_argument(
        "--as",
        dest="form",
        choices=["pem", "secret", "policy", "registries"],
        default="pem",
        help=(
            "What to print: the keys as PEM, cosign's Secret for a cluster, a node's policy.json, or a file of its "
            "registries.d. Default: pem."
        ),
    )
    parser.add_argument(
        "--scope",
        action="append",
        metavar="REGISTRY[/PATH]",
        help="Images that policy and registries are about. May be repeated.",
    )
    parser.add_argument("--name", default="slipway-key", help="Name of the Secret. Default: slipway-key.")
    parser.add_argument("--namespace", default="default", help="Namespace of the Secret. Default: default.")


def run(args: argparse.Namespace) -> int:
    """Raises VaultErrors, StackDown, InvalidOption."""
    from prefect_slipway.flows.cli.options import read_request
    from prefect_slipway.flows.request.verified import KeyRequest
    from prefect_slipway.infra.domain.errors import InvalidOption
    from prefect_slipway.infra.signing.cluster import policy_json, public_key_secret, registries_d

    request = read_request(args, KeyRequest)
    if args.form in {"policy", "registries"} and not args.scope:
        raise InvalidOption(f"--as {args.form} needs the images it is about", action="name them with --scope")
    keys = asyncio.run(_keys(request))
    match args.form:
        case "pem":
            print("".join(key.pem for key in keys), end="")
        case "secret":
            # One key each: the newest version, which signs.
            print(json.dumps(public_key_secret(keys[0], name=args.name, namespace=args.namespace), indent=2))
        case "policy":
            print(json.dumps(policy_json(dict.fromkeys(args.scope, keys)), indent=2))
        case "registries":
            print(json.dumps(registries_d(args.scope), indent=2))
    return 0


async def _keys(request: KeyRequest) -> tuple[PublicKey, ...]:
    from prefect_slipway.flows.run.endpoints import NO_VAULT_ACTION
    from prefect_slipway.flows.run.saved_blocks import find_vault, running_stack
    from prefect_slipway.flows.run.trusted_keys import public_keys
    from prefect_slipway.infra.domain.errors import StackDown
    from prefect_slipway.infra.local.config import StackConfig
    from prefect_slipway.infra.vault.session import VaultSession

    access = await find_vault(request.vault, running_stack(StackConfig.from_env(os.environ)), os.environ)
    if access is None:
        raise StackDown("the key is in Vault, but no Vault is configured", action=NO_VAULT_ACTION)
    async with VaultSession(access) as session:
        return await public_keys([request.key], session)

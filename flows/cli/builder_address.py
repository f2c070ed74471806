"""Options that choose a command's builder, and the address that they form."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway.infra.domain.errors import InvalidOption, StackDown

if TYPE_CHECKING:
    from prefect_slipway.flows.run.endpoints import Network
    from prefect_slipway.infra.buildkit.address import BuilderAddress
    from prefect_slipway.infra.local.connection import StackConnection


def add_address_options(parser: argparse.ArgumentParser) -> None:
    """Address and TLS files."""
    parser.add_argument(
        "--builder",
        metavar="ADDRESS",
        help="Address: tcp://HOST:PORT, unix://PATH, docker://[PATH] or docker-container://NAME. [BUILDKIT_HOST]",
    )
    parser.add_argument("--builder-ca", metavar="FILE", help="PEM file with the builder's CA; enables TLS for tcp://.")
    parser.add_argument("--builder-cert", metavar="FILE", help="PEM file with the client certificate.")
    parser.add_argument("--builder-key", metavar="FILE", help="PEM file with the client certificate's key.")
    parser.add_argument("--builder-name", metavar="NAME", help="Name in the builder's certificate.")


def chosen_builder(args: argparse.Namespace, stack: StackConnection | None) -> tuple[BuilderAddress, Network]:
    """The requested builder, else BUILDKIT_HOST's, else the embedded one. Raises InvalidOption, StackDown."""
    from prefect_slipway.flows.run.endpoints import find_builder
    from prefect_slipway.infra.buildkit.address import TlsFiles

    tls = None
    if args.builder_ca or args.builder_cert:
        ca, cert, key = (
            Path(name) if name else None for name in (args.builder_ca, args.builder_cert, args.builder_key)
        )
        tls = TlsFiles(ca=ca, cert=cert, key=key, server_name=args.builder_name)
    address = args.builder or os.environ.get("BUILDKIT_HOST") or None
    if address is not None and "," in address:
        raise InvalidOption(
            "this command uses one builder, and several addresses were given",
            action="name one of them; `slipway release` and `slipway bake` use several",
        )
    return find_builder(address, tls, stack)


def embedded_stack() -> StackConnection | None:
    """The embedded stack's connection, None if there is none. Does not check that it is running."""
    from prefect_slipway.infra.local.connection import read_connection
    from prefect_slipway.infra.local.home import stack_home

    try:
        return read_connection(stack_home(os.environ))
    except StackDown:
        return None

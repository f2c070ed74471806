"""`slipway build`: BuildKit alone, without Prefect, with the options of `docker buildx build`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli.builder_address import add_address_options, chosen_builder, embedded_stack
from flows.domain.errors import Interrupted, StackDown

if TYPE_CHECKING:
    from flows.domain.credentials import Credential, CredentialSource
    from infra.buildkit import BuilderAddress, BuildOutcome, BuildRequest
    from infra.local.connection import StackConnection


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from flows.cli.build_options import add_build_options

    parser = subparsers.add_parser(
        "build",
        help="build with BuildKit alone",
        description="Builds as `docker buildx build` does, on any BuildKit daemon; no Prefect, no version, no record.",
    )
    add_build_options(parser)
    add_address_options(parser)
    parser.add_argument(
        "--credentials",
        action="append",
        default=[],
        metavar="HOST=vault:MOUNT/PATH",
        help="Credential of a registry in Vault. Else docker's own configuration is asked.",
    )
    parser.add_argument(
        "--progress", choices=["auto", "plain", "tty", "rawjson", "quiet"], default="auto", help="How it is shown."
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="Print the image's digest alone.")
    parser.add_argument("--iidfile", metavar="FILE", help="Write the image's digest there.")
    parser.add_argument("--metadata-file", metavar="FILE", help="Write the exporter's answer there, as JSON.")


def run(args: argparse.Namespace) -> int:
    """0 when it was built. Raises SlipwayError."""
    from flows.cli.build_options import build_request

    stack = embedded_stack()
    builder, network = chosen_builder(args, stack)
    request = build_request(args, network, os.environ)
    try:
        outcome = asyncio.run(_build(args, builder, request, stack))
    except (KeyboardInterrupt, asyncio.CancelledError) as signal:
        raise Interrupted("the build was interrupted") from signal
    _write_files(args, outcome)
    if args.quiet and outcome.digest:
        print(outcome.digest)
    return 0


async def _build(
    args: argparse.Namespace, builder: BuilderAddress, request: BuildRequest, stack: StackConnection | None
) -> BuildOutcome:
    from flows.cli.display import display_for
    from flows.interrupts import interruptible
    from infra.buildkit import BuildKit

    display = display_for("quiet" if args.quiet else args.progress, sys.stderr)
    with interruptible():
        async with _credentials(args, stack) as credentials, BuildKit(builder) as buildkit:
            try:
                return await buildkit.build(request, credentials, display)
            finally:
                display.finish()


@contextlib.asynccontextmanager
async def _credentials(args: argparse.Namespace, stack: StackConnection | None) -> AsyncIterator[CredentialSource]:
    """Vault for the registries that were named and the embedded one, docker's configuration for all others."""
    from infra.registry.docker_config import DockerConfigCredentials

    async with contextlib.AsyncExitStack() as exits:
        yield _Credentials(args, stack, DockerConfigCredentials.from_env(os.environ), exits)


class _Credentials:
    """Opens Vault only when a registry asks for what is there: most builds need none of it."""

    def __init__(
        self,
        args: argparse.Namespace,
        stack: StackConnection | None,
        docker: CredentialSource,
        exits: contextlib.AsyncExitStack,
    ) -> None:
        self._named = args.credentials
        self._stack = stack
        self._docker = docker
        self._exits = exits
        self._vault: CredentialSource | None = None

    async def credential(self, host: str) -> Credential | None:
        embedded = self._stack is not None and self._stack.registry == host
        if self._vault is None and (self._named or embedded):
            self._vault = await self._open_vault()
        found = await self._vault.credential(host) if self._vault is not None else None
        return found if found is not None else await self._docker.credential(host)

    async def _open_vault(self) -> CredentialSource:
        from flows.access import secret_paths, vault_access
        from infra.vault import VaultCredentials, VaultSession

        access = vault_access(self._stack, os.environ)
        if access is None:
            raise StackDown("credentials are named in Vault, but there is no Vault to ask", action="set VAULT_ADDR")
        session = await self._exits.enter_async_context(VaultSession(access))
        return VaultCredentials(session, secret_paths(self._named, None, self._stack))


def _write_files(args: argparse.Namespace, outcome: BuildOutcome) -> None:
    if args.iidfile:
        Path(args.iidfile).write_text(outcome.digest)
    if args.metadata_file:
        Path(args.metadata_file).write_text(json.dumps(dict(outcome.response), indent=2) + "\n")

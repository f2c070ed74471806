"""Build like `docker buildx build`, on any BuildKit daemon, without Prefect, a version or a record."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from prefect_slipway.flows.cli.builder_address import add_address_options, chosen_builder, embedded_stack
from prefect_slipway.flows.cli.display.choice import FORMS, OF_BUILDX
from prefect_slipway.flows.cli.switches import add_switch
from prefect_slipway.infra.domain.errors import Interrupted, InvalidOption, StackDown

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.build_options import Asked
    from prefect_slipway.flows.cli.display.building import BuildNews
    from prefect_slipway.infra.buildkit.address import BuilderAddress
    from prefect_slipway.infra.buildkit.client import BuildKit
    from prefect_slipway.infra.domain.credentials import Credential, CredentialSource
    from prefect_slipway.infra.local.connection import StackConnection


_PROGRESS = (*FORMS, *OF_BUILDX)


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.build_options import add_build_options

    parser.allow_abbrev = False
    add_build_options(parser)
    add_address_options(parser)
    parser.add_argument(
        "--credentials",
        action="append",
        default=[],
        metavar="HOST=vault:MOUNT/PATH",
        help="Credential of a registry in Vault. Default: docker's own configuration.",
    )
    parser.add_argument(
        "--progress",
        choices=_PROGRESS,
        default="auto",
        help=(
            "Progress on standard error: a live display (tty), lines (plain), a JSON object per event (json) or none "
            "(quiet). Default: auto, which is tty in a terminal and plain elsewhere. [BUILDKIT_PROGRESS]"
        ),
    )
    add_switch(parser, "-q", "--quiet", help="Print only the image's id.")
    parser.add_argument("--iidfile", metavar="FILE", help="Write the image's id to this file.")
    parser.add_argument("--metadata-file", metavar="FILE", help="Write the build's result to this file, as JSON.")


def run(args: argparse.Namespace) -> int:
    """0 when it was built, the frontend's own code for a `--call`. Raises SlipwayError."""
    from prefect_slipway.flows.build_options.outputs import Surroundings
    from prefect_slipway.flows.cli.build_options import build_request
    from prefect_slipway.infra.buildkit.build.docker_engine import DockerEngine
    from prefect_slipway.infra.common.docker_config import docker_proxies

    progress = _progress(args)
    stack = embedded_stack()
    builder, network = chosen_builder(args, stack)

    # The embedded one is a builder and nothing else: nobody looks for images there.
    engine = builder.kind == "docker" and network is None
    surroundings = Surroundings(engine, partial(DockerEngine.of_docker, os.environ))
    with contextlib.ExitStack() as exits:
        asked = build_request(args, network, os.environ, surroundings, exits, docker_proxies(os.environ))
        try:
            return asyncio.run(_run(args, progress, builder, asked, stack, engine=engine))
        except (KeyboardInterrupt, asyncio.CancelledError) as signal:
            raise Interrupted("the build was interrupted") from signal


def _progress(args: argparse.Namespace) -> str:
    """How it is shown; `--progress quiet` is `--quiet`."""
    progress = args.progress
    if progress == "auto" and not args.quiet:
        progress = os.environ.get("BUILDKIT_PROGRESS") or progress
        if progress not in _PROGRESS:
            raise InvalidOption(f"BUILDKIT_PROGRESS is {progress!r}", action=f"use one of {', '.join(_PROGRESS)}")
    args.quiet = args.quiet or progress == "quiet"
    if args.quiet and progress not in {"auto", "quiet", "none"}:
        raise InvalidOption(f"--progress {progress} and --quiet cannot be used together", action="remove one")
    return "quiet" if args.quiet else OF_BUILDX.get(progress, progress)


async def _run(
    args: argparse.Namespace,
    progress: str,
    builder: BuilderAddress,
    asked: Asked,
    stack: StackConnection | None,
    *,
    engine: bool,
) -> int:
    from prefect_slipway.flows.cli.display.building import build_news
    from prefect_slipway.flows.cli.display.choice import display
    from prefect_slipway.flows.run.interrupts import interruptible
    from prefect_slipway.infra.buildkit.client import BuildKit

    with interruptible(), display(progress) as shown:
        for warning in asked.warnings:
            shown.say(f"slipway: {warning}")
        async with open_credentials(args.credentials, stack) as credentials, BuildKit(builder) as buildkit:
            with build_news(shown) as news:
                if asked.dockerfile:
                    request = asked.request
                    content = await buildkit.fetch(
                        asked.dockerfile,
                        news,
                        source_policy=request.source_policy,
                        source_check=request.source_check,
                    )
                    asked = asked._replace(request=asked.request._replace(dockerfile_content=content))
                if asked.call is not None:
                    text, code = await _call(args, buildkit, asked, credentials, news)
                else:
                    text, code = await _build(args, buildkit, asked, credentials, news, engine=engine), 0
    # With --quiet, where there is no image, buildx prints an empty line for its id.
    if text or (args.quiet and asked.call is None):
        print(text)
    return code


async def _build(
    args: argparse.Namespace,
    buildkit: BuildKit,
    asked: Asked,
    credentials: CredentialSource,
    news: BuildNews,
    *,
    engine: bool,
) -> str:
    from prefect_slipway.flows.cli.build_results import as_metadata, image_id, result_files, told
    from prefect_slipway.infra.buildkit.build.outputs import EngineLoad

    request = asked.request
    if any(isinstance(output, EngineLoad) for output in request.outputs):
        from prefect_slipway.infra.buildkit.build.prepared import with_engines

        request = await with_engines(request)
    with result_files(args.iidfile, args.metadata_file) as (iidfile, metadata):
        outcome = await buildkit.build(request, credentials, news)
        response = dict(outcome.response)
        if args.quiet or iidfile is not None or metadata is not None:
            response = await told(buildkit, request, outcome, os.environ, engine=engine, metadata=metadata is not None)
        if iidfile is not None:
            iidfile.write(image_id(response))
        if metadata is not None:
            metadata.write(as_metadata(response))
    message = response.get("frontend.result.inlinemessage", "")
    shown = [*([image_id(response)] if args.quiet else []), *([f"\n{message}"] if message else [])]
    return "\n".join(shown)


async def _call(
    args: argparse.Namespace, buildkit: BuildKit, asked: Asked, credentials: CredentialSource, news: BuildNews
) -> tuple[str, int]:
    from prefect_slipway.flows.cli.build_results import as_metadata, result_files
    from prefect_slipway.flows.cli.call import shown, status_of

    assert asked.call is not None, "there is a method to call"
    method, form, ignored = asked.call
    with result_files(None, args.metadata_file) as (_, metadata):
        answer = await buildkit.ask(method, asked.request, credentials, news)
        if metadata is not None:
            metadata.write(as_metadata({key: value.decode(errors="replace") for key, value in answer.items()}))
    return shown(method, form, answer), status_of(method, answer, ignored=ignored)


@contextlib.asynccontextmanager
async def open_credentials(named: Sequence[str], stack: StackConnection | None) -> AsyncIterator[CredentialSource]:
    """Vault for the registries that were named and the embedded one, docker's configuration for all others."""
    from prefect_slipway.infra.registry.docker_config import DockerConfigCredentials

    async with contextlib.AsyncExitStack() as exits:
        yield _Credentials(named, stack, DockerConfigCredentials.from_env(os.environ), exits)


class _Credentials:
    """Opens Vault only when a registry asks for what is there: most builds need none of it."""

    def __init__(
        self,
        named: Sequence[str],
        stack: StackConnection | None,
        docker: CredentialSource,
        exits: contextlib.AsyncExitStack,
    ) -> None:
        self._named = named
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
        from prefect_slipway.flows.run.endpoints import secret_paths, vault_access
        from prefect_slipway.infra.vault.credentials import VaultCredentials
        from prefect_slipway.infra.vault.session import VaultSession

        access = vault_access(self._stack, os.environ)
        if access is None:
            raise StackDown("the credentials are in Vault, but no Vault is configured", action="set VAULT_ADDR")
        session = await self._exits.enter_async_context(VaultSession(access))
        return VaultCredentials(session, secret_paths(self._named, None, self._stack))

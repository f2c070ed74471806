"""`slipway shell`: a session in the lab's `buildkit-cli` pod, beside a shared builder."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from prefect_slipway.flows.cli.raw_terminal import Tty
from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.flows.run.workshop import Workshop

    from prefect_slipway.flows.request.release import ReleaseRequest


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    from prefect_slipway.flows.cli.options import add_request_options

    parser = subparsers.add_parser(
        "shell",
        description=(
            "Opens a shell in a pod with buildctl, the registry credentials at /root/.docker/config.json, and REGISTRY "
            "and REPOSITORY in its environment. The builder is the shared one and stays; the pod goes with the last "
            "session in it."
        ),
    )
    add_request_options(parser)


def run(args: argparse.Namespace) -> int:
    """The shell's exit code. Raises SlipwayErrors."""
    from prefect_slipway.flows.cli.options import request_of

    if not sys.stdin.isatty():
        raise InvalidOption("a shell needs a terminal", action="run it in one, or use `kubectl exec`")
    request = request_of(args)
    options = {**request.builder_options, "lifetime": "shared"}
    return asyncio.run(_shell(request.model_copy(update={"builder": "kubernetes", "builder_options": options})))


async def _shell(request: ReleaseRequest) -> int:
    from prefect_slipway.flows.run.workshop import open_workshop

    from prefect_slipway.flows.run.interrupts import interruptible

    with interruptible():
        async with open_workshop(request) as shop:
            try:
                return await _session(shop, request)
            finally:
                if shop.kubernetes is not None:
                    await shop.kubernetes.close()


async def _session(shop: Workshop, request: ReleaseRequest) -> int:
    from prefect_slipway.flows.run.cluster import open_api, provision
    from prefect_slipway.flows.steps.build import build_credentials
    from prefect_slipway.infra.kubernetes.builders.shell import run_session

    await provision(shop, uuid4().hex, session=True)
    await build_credentials(shop, shop.image("image"))
    assert shop.kubernetes is not None
    pod = await shop.kubernetes.open_cli()
    async with open_api(request.context, request.namespace) as api:
        terminal = Tty()
        with terminal.raw():
            return await run_session(api, pod, ["sh", "-i"], terminal)

"""Open a shell in a pod with buildctl, the registry credentials at /root/.docker/config.json, and REGISTRY and
REPOSITORY in its environment. The builder is shared and stays; the pod is removed with its last session."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

from prefect_slipway.flows.cli.raw_terminal import Tty
from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect_slipway.flows.request.release import ReleaseRequest
    from prefect_slipway.flows.run.open_run import OpenRun


# It builds and releases nothing: these say which image, cluster and credentials. Without an image the source's name is
# the repository.
_HERE = {"source", "image", "builder", "credentials"}
# Its address is `kubernetes`, where the certificates are Slipway's own.
_NOT_OF_THE_BUILDER = {f"builder.{name}" for name in ("address", "emulate", "ca", "cert", "key", "name")}


def _not_here() -> set[str]:
    from prefect_slipway.flows.request.release import ReleaseRequest

    return {*ReleaseRequest.model_fields} - _HERE | _NOT_OF_THE_BUILDER


def add_options(parser: argparse.ArgumentParser) -> None:
    from prefect_slipway.flows.cli.options import add_request_options

    add_request_options(parser, without=_not_here())


def run(args: argparse.Namespace) -> int:
    """The shell's exit code. Raises SlipwayErrors."""
    from prefect_slipway.flows.cli.options import request_of

    if not sys.stdin.isatty():
        raise InvalidOption("a shell needs a terminal", action="run it in a terminal, or use `kubectl exec`")
    request = request_of(args, without=_not_here())
    options = {**request.builder.options, "lifetime": "shared"}
    return asyncio.run(_shell(request.changed({"builder": {"address": "kubernetes", "options": options}})))


async def _shell(request: ReleaseRequest) -> int:
    from prefect_slipway.flows.run.interrupts import interruptible
    from prefect_slipway.flows.run.open_run import open_run

    with interruptible():
        async with open_run(request, run=uuid4().hex, session=True) as run:
            try:
                return await _session(run)
            finally:
                await run.builder.close()


async def _session(run: OpenRun) -> int:
    from prefect_slipway.flows.run.cluster import open_api
    from prefect_slipway.infra.kubernetes.builders.shell import run_session

    image = run.image("image")
    (node,) = await run.builder.nodes(image.registry)
    assert node.cluster is not None, "a shell needs a builder in a cluster"
    await node.address()
    await run.builder.credentials(run.registries(image.registry), image)
    pod = await node.cluster.open_cli()
    async with open_api(run.request.builder.context, run.request.builder.namespace) as api:
        terminal = Tty()
        with terminal.raw():
            return await run_session(api, pod, ["sh", "-i"], terminal)

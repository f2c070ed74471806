"""What the daemons of a run's builder are, asked of each."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.builder import BuilderNode
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.values.builder import BuilderFacts
from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import BuilderUnreachable
from prefect_slipway.infra.domain.nodes import Node
from prefect_slipway.infra.local.engine import trust_registry_ca

logger = logging.getLogger(__name__)


async def look_at_builder(run: OpenRun, registry: str) -> BuilderFacts:
    """Make sure that the builder is there. `registry`: the host to push to.

    Of several nodes that are not Slipway's own, one that cannot be reached is missed only if nobody else builds for its
    platform. Raises BuilderErrors, and ClusterErrors for a builder in Kubernetes.
    """
    nodes = await run.builder.nodes(registry)
    optional = run.builder.is_several
    found = await run_concurrently(*(_look(run, registry, node, optional=optional) for node in nodes))
    facts = [each for each in found if isinstance(each, Node)]
    lost = [each for each in found if isinstance(each, BuilderUnreachable)]
    if not facts:
        raise lost[0]
    for each in lost:
        watcher().say(f"WARN: {each.cause}")
        logger.warning("%s", each.cause)
    names = {each.name for each in facts}
    missing = tuple(node.name for node in nodes if node.name not in names)
    return BuilderFacts(tuple(facts), missing, nodes[0].name)


async def _look(run: OpenRun, registry: str, node: BuilderNode, *, optional: bool) -> Node | BuilderUnreachable:
    async def ask(address: BuilderAddress) -> Node:
        _share_registry_ca(run, registry, address)
        async with BuildKit(address) as buildkit:
            return Node.of(node.name, [worker.platforms for worker in await buildkit.workers()])

    try:
        return await node.watched(ask)
    except BuilderUnreachable as error:
        if not optional:
            raise
        return error


def _share_registry_ca(run: OpenRun, registry: str, address: BuilderAddress) -> None:
    """The daemon pushes, so it must trust the registry's CA, which only the engine's files can set, not BuildKit's
    API."""
    ca = run.request.credentials.registry_ca
    if ca is not None and run.builder.is_private_engine(address):
        trust_registry_ca(run.home, registry, Path(ca))

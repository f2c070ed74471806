"""Provision builder: find the daemon the build will run on, and see that it answers."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from prefect.runtime import flow_run

from prefect_slipway.flows.run.workshop import Workshop, workshop
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.buildkit import BuilderAddress, BuilderInfo, BuildKit, Worker
from prefect_slipway.infra.domain.errors import BuilderError
from prefect_slipway.infra.domain.plan import BuilderFacts
from prefect_slipway.infra.local.engine import trust_registry_ca

R = TypeVar("R")


@step("provision builder")
async def provision_builder() -> BuilderFacts:
    """Raises BuilderErrors, and ClusterErrors for a builder in Kubernetes."""
    shop = workshop()
    _share_registry_ca(shop)
    address = await reach_builder(shop)

    async def look() -> tuple[BuilderInfo, list[Worker]]:
        async with BuildKit(address) as buildkit:
            return await buildkit.info(), await buildkit.workers()

    info, workers = await watched(shop, address, look())
    return BuilderFacts(
        address=str(address),
        version=info.version,
        platforms=tuple(platform for worker in workers for platform in worker.platforms),
        network=shop.request.network or shop.builder_network,
    )


async def reach_builder(shop: Workshop) -> BuilderAddress:
    """The builder's address; one in a cluster is made first, and made anew when it was lost."""
    async with shop.provisioning:
        if shop.builder is None:
            from prefect_slipway.flows.run.cluster import provision

            return await provision(shop, str(flow_run.id), flow_run.run_count)
        return shop.builder


async def watched(shop: Workshop, address: BuilderAddress, asked: Coroutine[Any, Any, R]) -> R:
    """What a builder is asked for; of one in a cluster the pod is watched: its end is the cause, and a retry makes a
    new one."""
    if shop.kubernetes is None:
        return await asked
    try:
        return await shop.kubernetes.guard(asked)
    except BuilderError:
        if shop.builder is address:
            # Unless another build of this run has found it lost already, and made a new one.
            shop.builder = None
        raise


def _share_registry_ca(shop: Workshop) -> None:
    """The daemon pushes, so it has to trust the registry's CA: BuildKit's API can't tell it, our engine's files can."""
    if shop.request.registry_ca is not None and shop.has_private_engine:
        trust_registry_ca(shop.home, shop.registry_host, Path(shop.request.registry_ca))

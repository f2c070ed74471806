"""Provision builder: find the daemon the build will run on, and see that it answers."""

from __future__ import annotations

from pathlib import Path

from flows.domain.plan import BuilderFacts
from flows.tasks.step import step
from flows.workshop import Workshop, workshop
from infra.buildkit import BuildKit
from infra.local.engine import trust_registry_ca


@step("provision builder")
async def provision_builder() -> BuilderFacts:
    """Raises BuilderUnreachable, BuilderTlsError, BuilderProtocolError."""
    shop = workshop()
    _share_registry_ca(shop)
    async with BuildKit(shop.builder) as buildkit:
        info = await buildkit.info()
        workers = await buildkit.workers()
    return BuilderFacts(
        address=str(shop.builder),
        version=info.version,
        platforms=tuple(platform for worker in workers for platform in worker.platforms),
        network=shop.request.network or shop.builder_network,
    )


def _share_registry_ca(shop: Workshop) -> None:
    """The daemon pushes, so it has to trust the registry's CA: BuildKit's API can't tell it, our engine's files can."""
    if shop.request.registry_ca is not None and shop.has_private_engine:
        trust_registry_ca(shop.home, shop.registry_host, Path(shop.request.registry_ca))

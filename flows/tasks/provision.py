"""Provision builder: find the daemon the build will run on, and see that it answers."""

from __future__ import annotations

from flows.domain.plan import BuilderFacts
from flows.tasks.step import step
from flows.workshop import workshop
from infra.buildkit import BuildKit


@step("provision builder")
async def provision_builder() -> BuilderFacts:
    """Raises BuilderUnreachable, BuilderTlsError, BuilderProtocolError."""
    shop = workshop()
    async with BuildKit(shop.builder) as buildkit:
        info = await buildkit.info()
        workers = await buildkit.workers()
    return BuilderFacts(
        address=str(shop.builder),
        version=info.version,
        platforms=tuple(platform for worker in workers for platform in worker.platforms),
        network=shop.request.network or shop.builder_network,
    )

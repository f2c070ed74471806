"""Provision builder: find the daemon to build on, and check that it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.flows.run.endpoints import Network
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.buildkit import BuilderInfo, BuildKit, Worker
from prefect_slipway.infra.local.engine import trust_registry_ca


@dataclass(frozen=True, slots=True)
class BuilderFacts:
    """A reachable builder. `network`: the network mode of RUN steps, None for the daemon's default."""

    address: str
    version: str
    platforms: tuple[str, ...] = ()
    network: Network = None


@step("provision builder")
async def provision_builder(run: OpenRun, registry: str) -> BuilderFacts:
    """Provision the builder. `registry`: the host to push to. Raises BuilderErrors, and ClusterErrors for a builder
    in Kubernetes."""
    address = await run.builder.address(registry)
    _share_registry_ca(run, registry)

    async def look() -> tuple[BuilderInfo, list[Worker]]:
        async with BuildKit(address) as buildkit:
            return await buildkit.info(), await buildkit.workers()

    info, workers = await run.builder.watched(address, look())
    return BuilderFacts(
        address=str(address),
        version=info.version,
        platforms=tuple(platform for worker in workers for platform in worker.platforms),
        network=run.builder.network,
    )


def _share_registry_ca(run: OpenRun, registry: str) -> None:
    """The daemon pushes, so it must trust the registry's CA, which only the engine's files can set, not BuildKit's
    API."""
    ca = run.request.credentials.registry_ca
    if ca is not None and run.builder.is_private_engine:
        trust_registry_ca(run.home, registry, Path(ca))

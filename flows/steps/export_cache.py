"""Export cache: once the release is public, each image is built a second time, every step from the builder's cache,
only to write the registry cache. Whatever goes wrong is a warning."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from prefect import get_run_logger

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.build_cache import cache_export, cache_size
from prefect_slipway.flows.run.interrupts import unless_interrupted
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.run.stopwatch import not_counted
from prefect_slipway.flows.steps.build import Builds
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.result import CacheUse
from prefect_slipway.infra.buildkit import BuildKit
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference


async def export_caches(run: OpenRun, registries: Registries, builds: Builds) -> None:
    """Export the caches of what was built, until all are written, the time is over or the run is interrupted.

    `builds.caches` says what became of each. Never fails.
    """
    deadline = asyncio.get_running_loop().time() + run.request.cache.timeout_s
    with not_counted():
        await unless_interrupted(_all(run, registries, builds, deadline))
    for target in builds.exports:
        if not builds.caches[target].exported and not builds.caches[target].warning:
            _not_exported(builds, target, "the run was interrupted")


@step("export cache")
async def export_cache(run: OpenRun, registries: Registries, builds: Builds, target: str) -> CacheUse:
    """Export one image's cache. Raises the BuildErrors, BuilderErrors, RegistryErrors and VaultErrors."""
    reference, request, address = builds.exports[target]
    # The steps that the build did not take from the cache are in it now; what else it exported is there already.
    request = request._replace(
        outputs=(), cache_exports=(cache_export(registries, reference),), no_cache=False, no_cache_stages=()
    )
    credentials = await run.builder.credentials(registries, ImageReference.parse(reference))
    started = time.monotonic()

    async def build() -> None:
        async with BuildKit(address) as buildkit:
            await buildkit.build(request, credentials)

    await run.builder.watched(address, build())
    seconds = round(time.monotonic() - started, 3)
    size = await cache_size(registries, reference)
    return replace(builds.caches[target], exported=reference, seconds=seconds, size=size)


async def _all(run: OpenRun, registries: Registries, builds: Builds, deadline: float) -> None:
    await run_concurrently(*(_one(run, registries, builds, target, deadline) for target in builds.exports))


async def _one(run: OpenRun, registries: Registries, builds: Builds, target: str, deadline: float) -> None:
    # Never tried again: the next release exports as well, and a builder that is lost must not be made anew for it.
    name = f"export cache {target}" if len(builds.exports) > 1 else export_cache.name
    export = export_cache.with_options(task_run_name=name, retries=0)
    try:
        async with asyncio.timeout_at(deadline), builds.slots:
            builds.caches[target] = await export(run, registries, builds, target)
    except TimeoutError:
        _not_exported(builds, target, f"it took longer than {run.request.cache.timeout_s} s (--cache-timeout-s)")
    except Exception as error:
        _not_exported(builds, target, error.cause if isinstance(error, SlipwayError) else type(error).__name__)


def _not_exported(builds: Builds, target: str, cause: str) -> None:
    warning = f"the build cache was not exported to {builds.exports[target].reference}: {cause}"
    builds.caches[target] = replace(builds.caches[target], warning=warning)
    watcher().say(f"WARN: {warning}")
    get_run_logger().warning("%s", warning)

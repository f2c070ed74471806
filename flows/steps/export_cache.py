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
from prefect_slipway.flows.steps.build import Builds, Key
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.result import CacheUse
from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.client import BuildKit
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
    for key in builds.exports:
        if not builds.caches[key].exported and not builds.caches[key].warning:
            _not_exported(builds, key, "the run was interrupted")


@step("export cache")
async def export_cache(run: OpenRun, registries: Registries, builds: Builds, key: Key) -> CacheUse:
    """Export one image's cache. Raises the BuildErrors, BuilderErrors, RegistryErrors and VaultErrors."""
    reference, request, node, address = builds.exports[key]
    # The steps that the build did not take from the cache are in it now; what else it exported is there already.
    request = request._replace(
        outputs=(), cache_exports=(cache_export(registries, reference),), no_cache=False, no_cache_stages=()
    )
    credentials = await run.builder.credentials(registries, ImageReference.parse(reference))
    started = time.monotonic()

    async def build(address: BuilderAddress) -> None:
        async with BuildKit(address) as buildkit:
            await buildkit.build(request, credentials)

    await node.watched(build, at=address)
    seconds = round(time.monotonic() - started, 3)
    size = await cache_size(registries, reference)
    return replace(builds.caches[key], exported=reference, seconds=seconds, size=size)


async def _all(run: OpenRun, registries: Registries, builds: Builds, deadline: float) -> None:
    await run_concurrently(*(_one(run, registries, builds, key, deadline) for key in builds.exports))


async def _one(run: OpenRun, registries: Registries, builds: Builds, key: Key, deadline: float) -> None:
    # Never tried again: the next release exports as well, and a builder that is lost must not be made anew for it.
    name = f"export cache {' '.join((key[0], *key[1]))}" if len(builds.exports) > 1 else export_cache.name
    export = export_cache.with_options(task_run_name=name, retries=0)
    try:
        async with asyncio.timeout_at(deadline), builds.slots:
            builds.caches[key] = await export(run, registries, builds, key)
    except TimeoutError:
        _not_exported(builds, key, f"it took longer than {run.request.cache.timeout_s} s (--cache-timeout-s)")
    except Exception as error:
        _not_exported(builds, key, error.cause if isinstance(error, SlipwayError) else type(error).__name__)


def _not_exported(builds: Builds, key: Key, cause: str) -> None:
    warning = f"the build cache was not exported to {builds.exports[key].reference}: {cause}"
    builds.caches[key] = replace(builds.caches[key], warning=warning)
    watcher().say(f"WARN: {warning}")
    get_run_logger().warning("%s", warning)

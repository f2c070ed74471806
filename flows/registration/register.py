"""Register everything in the order of its dependencies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from enum import StrEnum
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from prefect_slipway.flows.registration.automations import register_automation
from prefect_slipway.flows.registration.blocks import BLOCK_TYPES, register_block_type, save_block
from prefect_slipway.flows.registration.deployments import read_stanzas, register_deployment, stop_schedules
from prefect_slipway.flows.registration.files import (
    PREFECT_FILE,
    SAMPLES,
    SHIPPED,
    automation_files,
    read_yaml,
    shipped_pools,
)
from prefect_slipway.flows.registration.outcome import Outcome, Registered
from prefect_slipway.flows.registration.pools import KIND as POOL
from prefect_slipway.flows.registration.pools import is_meant, register_pool
from prefect_slipway.flows.server.errors import prefect_client

# Earlier names of shipped deployments with a schedule: nothing is swept twice.
_FORMER = ("sweep/local", "sweep/kubernetes")


class Kind(StrEnum):
    """The kinds that can be registered separately."""

    POOLS = "pools"
    BLOCKS = "blocks"
    DEPLOYMENTS = "deployments"
    AUTOMATIONS = "automations"


async def register(
    file: Path | None = None,
    kinds: Collection[Kind] = tuple(Kind),
    pools: Collection[str] = (),
    job_variables: Mapping[str, str] | None = None,
    *,
    samples: bool = False,
) -> AsyncIterator[Registered]:
    """The outcome of each registration, as it happens. `file`: the user's own deployments instead of the shipped ones.
    `pools`: only these work pools and their deployments, empty: those that are meant here. `job_variables`: defaults of
    the pools' jobs in place of the files'. `samples`: those as well.

    Raises InvalidOption for what a file says and PrefectError for what the server answers.
    """
    async with prefect_client() as client:
        left_out = set() if pools else {item.name for item in shipped_pools() if not await is_meant(client, item)}
        if Kind.POOLS in kinds:
            for pool in shipped_pools():
                if pool.name in left_out:
                    why = f"no worker serves it; register it with --pool {pool.name}"
                    yield Registered(POOL, pool.name, Outcome.LEFT_OUT, (why,))
                elif not pools or pool.name in pools:
                    yield await register_pool(client, pool.with_defaults(job_variables or {}))
        if Kind.BLOCKS in kinds:
            for block in BLOCK_TYPES:
                yield await register_block_type(client, block)
        if Kind.DEPLOYMENTS in kinds:
            for path in [file or PREFECT_FILE, *([SAMPLES / "prefect.yaml"] if samples else [])]:
                async for item in _deployments(client, path, pools, set() if path == file else left_out):
                    yield item
        if Kind.AUTOMATIONS in kinds:
            for folder in [SHIPPED, *([SAMPLES] if samples else [])]:
                async for item in _automations(client, folder):
                    yield item


async def _deployments(
    client: PrefectClient, path: Path, pools: Collection[str], left_out: Collection[str]
) -> AsyncIterator[Registered]:
    for wanted in await read_stanzas(client, read_yaml(path)):
        pool = wanted.values["work_pool_name"]
        if pools and pool not in pools:
            continue
        if pool not in left_out:
            yield await register_deployment(client, wanted)
        # No worker takes its runs, which would stay Late for ever.
        elif (stopped := await stop_schedules(client, wanted.full_name)) is not None:
            yield stopped
    if path == PREFECT_FILE:
        for name in _FORMER:
            if (stopped := await stop_schedules(client, name)) is not None:
                yield stopped


async def _automations(client: PrefectClient, folder: Path) -> AsyncIterator[Registered]:
    for document in automation_files(folder):
        for block in document.get("blocks", []):
            yield await save_block(client, block)
        for automation in document["automations"]:
            yield await register_automation(client, automation)

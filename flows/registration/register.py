"""Register everything, in the order in which one thing needs another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from enum import StrEnum
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from flows.prefect_errors import prefect_client
from flows.registration.automations import register_automation
from flows.registration.blocks import BLOCK_TYPES, register_block_type, save_block
from flows.registration.deployments import read_stanzas, register_deployment
from flows.registration.files import automation_files, read_yaml, shipped_pools
from flows.registration.outcome import Registered
from flows.registration.pools import register_pool


class Kind(StrEnum):
    """What can be registered alone."""

    POOLS = "pools"
    BLOCKS = "blocks"
    DEPLOYMENTS = "deployments"
    AUTOMATIONS = "automations"


async def register(
    file: Path,
    kinds: Collection[Kind] = tuple(Kind),
    pools: Collection[str] = (),
    job_variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Registered]:
    """What became of each thing, as it is done. `pools`: only these work pools and their deployments, empty: all.
    `job_variables`: defaults of the pools' jobs in place of the files'.

    Raises InvalidOption for what a file says and PrefectError for what the server answers.
    """
    async with prefect_client() as client:
        if Kind.POOLS in kinds:
            for pool in shipped_pools():
                if not pools or pool.name in pools:
                    yield await register_pool(client, pool.with_defaults(job_variables or {}))
        if Kind.BLOCKS in kinds:
            for block in BLOCK_TYPES:
                yield await register_block_type(client, block)
        if Kind.DEPLOYMENTS in kinds:
            for wanted in await read_stanzas(client, read_yaml(file)):
                if not pools or wanted.values["work_pool_name"] in pools:
                    yield await register_deployment(client, wanted)
        if Kind.AUTOMATIONS in kinds:
            async for one in _automations(client):
                yield one


async def _automations(client: PrefectClient) -> AsyncIterator[Registered]:
    for document in automation_files():
        for block in document.get("blocks", []):
            yield await save_block(client, block)
        for automation in document["automations"]:
            yield await register_automation(client, automation)

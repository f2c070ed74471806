"""Block types, so that the UI offers them, and the example's saved block, which belongs to people once it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from prefect_slipway import blocks
from prefect_slipway.flows.registration.outcome import Outcome, Registered

KIND = "block type"
SAVED = "block"

_SHOWN = {"name", "description", "logo_url", "documentation_url", "code_example"}

BLOCK_TYPES: tuple[type[Block], ...] = tuple(getattr(blocks, name) for name in blocks.__all__)


async def register_block_type(client: PrefectClient, block: type[Block]) -> Registered:
    """Prefect's own registration compares before it writes; the outcome is found by comparing the server's state."""
    slug = block.get_block_type_slug()
    before = await _known(client, slug)
    await block.aregister_type_and_schema(client=client)
    after = await _known(client, slug)
    if before is None:
        return Registered(KIND, slug, Outcome.CREATED)
    if before != after:
        return Registered(KIND, slug, Outcome.UPDATED, ("schema",))
    return Registered(KIND, slug, Outcome.UNCHANGED)


async def save_block(client: PrefectClient, wanted: Mapping[str, Any]) -> Registered:
    """Save `{type, name, data}` unless a block of that name is there: people edit it."""
    slug, name = wanted["type"], wanted["name"]
    try:
        await client.read_block_document_by_name(name, slug, include_secrets=False)
    except ObjectNotFound:
        block = Block.get_block_class_from_key(slug)(**wanted["data"])
        await block.asave(name, client=client)
        return Registered(SAVED, f"{slug}/{name}", Outcome.CREATED)
    return Registered(SAVED, f"{slug}/{name}", Outcome.UNCHANGED)


async def _known(client: PrefectClient, slug: str) -> tuple[Any, ...] | None:
    """What the server has of a block type: its texts and its newest schema. None: nothing."""
    try:
        block_type = await client.read_block_type_by_slug(slug)
    except ObjectNotFound:
        return None
    schema = await client.get_most_recent_block_schema_for_block_type(block_type.id)
    return (block_type.model_dump(include=_SHOWN), schema and schema.checksum)

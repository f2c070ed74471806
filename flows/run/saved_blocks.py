"""Load saved Prefect blocks that a request names as `block:NAME`, and find a run's Vault and stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from prefect.blocks.core import Block

from prefect_slipway.blocks import Registry, Vault
from prefect_slipway.flows.run.endpoints import vault_access
from prefect_slipway.flows.server.errors import prefect_client
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.stack import Stack
from prefect_slipway.infra.vault import VaultAccess

B = TypeVar("B", bound=Block)


def block_name(text: str) -> str | None:
    """The NAME of `block:NAME`, None for anything else."""
    return text.removeprefix("block:") if text.startswith("block:") else None


async def load(kind: type[B], name: str) -> B:
    """A saved block. Raises InvalidOption for a name that nobody saved, PrefectErrors."""
    try:
        # Also where there is no Prefect server an unknown name would be Prefect's answer.
        async with prefect_client():
            return cast(B, await kind.aload(name))
    except ValueError as error:
        # Prefect's answer to an unknown name; its text names the block, nothing else.
        raise InvalidOption(
            f"there is no {kind._block_type_name!r} block named {name!r}",
            action="save it in the UI under Blocks, or check the name",
        ) from error


async def with_registries(credentials: Sequence[str]) -> dict[str, Any]:
    """The request's fields that say how registries are spoken to, with what saved registries say in their names' place.

    Raises InvalidOption.
    """
    fields: dict[str, Any] = {}
    found: list[str] = []
    for text in credentials:
        if name := block_name(text):
            saved = (await load(Registry, name)).request_fields()
            found += saved.pop("credentials")
            fields |= saved
        else:
            found.append(text)
    return {**fields, "credentials": found}


async def find_vault(block: str | None, stack: StackConnection | None, env: Mapping[str, str]) -> VaultAccess | None:
    """The saved Vault that was named, else what environment and stack offer. Raises InvalidOption and StackDown."""
    if block is None:
        return vault_access(stack, env)
    return (await load(Vault, block.removeprefix("block:"))).access()


def running_stack(config: StackConfig) -> StackConnection | None:
    """The embedded stack, None where none runs."""
    try:
        return Stack(config).connection()
    except StackDown:
        return None

"""Load saved Prefect blocks that a request names as `block:NAME`, and find a run's Vault and stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect_slipway.flows.request.credentials import RegistryAccess
from prefect_slipway.flows.run.endpoints import vault_access
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.stack import Stack
from prefect_slipway.infra.vault.access import VaultAccess

if TYPE_CHECKING:
    from prefect.blocks.core import Block

# Prefect, and the blocks that need it, are imported where a request names a saved block: few do, and it takes a second.
B = TypeVar("B", bound="Block")


def block_name(text: str) -> str | None:
    """The NAME of `block:NAME`, None for anything else."""
    return text.removeprefix("block:") if text.startswith("block:") else None


async def load(kind: type[B], name: str) -> B:
    """Load a saved block. Raises InvalidOption for an unknown name, PrefectErrors."""
    from prefect_slipway.flows.server.errors import prefect_client

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


async def load_text(name: str) -> str:
    """The text of a saved policy, or of saved waivers. Raises InvalidOption, PrefectErrors."""
    from prefect_slipway.blocks import GateFile

    return (await load(GateFile, name)).text


async def with_registries(access: RegistryAccess) -> RegistryAccess:
    """The access with the settings of saved registries in place of their names.

    Raises InvalidOption.
    """
    fields: dict[str, Any] = {}
    found: list[str] = []
    for text in access.registries:
        if name := block_name(text):
            from prefect_slipway.blocks import Registry

            saved = (await load(Registry, name)).request_fields()["credentials"]
            found += saved.pop("registries")
            fields |= saved
        else:
            found.append(text)
    return access.changed({**fields, "registries": found})


async def find_vault(block: str | None, stack: StackConnection | None, env: Mapping[str, str]) -> VaultAccess | None:
    """The requested saved Vault, else that of the environment or the stack. Raises InvalidOption and StackDown."""
    if block is None:
        return vault_access(stack, env)
    from prefect_slipway.blocks import Vault

    return (await load(Vault, block.removeprefix("block:"))).access()


def running_stack(config: StackConfig) -> StackConnection | None:
    """The embedded stack, None if it is not running."""
    try:
        return Stack(config).connection()
    except StackDown:
        return None


def why_no_registry(config: StackConfig) -> str:
    """Why there is no embedded registry to use."""
    try:
        Stack(config).connection()
    except StackDown as error:
        return error.cause
    return "a Vault of your own has no embedded registry"

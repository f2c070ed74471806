"""Trusted public keys, from files and from Vault."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect_slipway.flows.run.endpoints import NO_VAULT_ACTION
from prefect_slipway.flows.run.saved_blocks import find_vault, running_stack
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.signing import read_public_keys
from prefect_slipway.infra.vault import TransitKey, TransitPath, VaultSession


async def public_keys(
    texts: Sequence[str], vault: str | None, env: Mapping[str, str] = os.environ
) -> tuple[PublicKey, ...]:
    """The keys that are named: all of a PEM file, or all versions of a key in Vault that are not revoked. `vault`: a
    saved Vault's name. Raises InvalidOption, InvalidKey, StackDown, VaultErrors."""
    found: list[PublicKey] = []
    in_vault = [TransitPath.parse(text) for text in texts if text.startswith("vault:")]
    for text in texts:
        if not text.startswith("vault:"):
            found += read_public_keys(_read(Path(text)), text)
    if in_vault:
        access = await find_vault(vault, running_stack(StackConfig.from_env(env)), env)
        if access is None:
            raise StackDown("the key is in Vault, but no Vault is configured", action=NO_VAULT_ACTION)
        async with VaultSession(access) as session:
            for path in in_vault:
                found += await TransitKey(session, path).public_keys()
    return tuple(found)


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError as error:
        raise InvalidOption(
            f"the key {str(file)!r} cannot be read: {error.strerror}", action="use a PEM file, or vault:MOUNT/KEY"
        ) from error

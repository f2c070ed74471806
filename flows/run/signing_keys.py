"""Keys that sign, in Vault."""

from __future__ import annotations

from collections.abc import Iterable

from prefect_slipway.flows.run.registries import needed
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath


def signing_keys(vault: VaultSession | None, places: Iterable[str]) -> list[TransitKey]:
    """The keys at these places. Raises InvalidOption, StackDown."""
    paths = [TransitPath.parse(text) for text in places]
    if not paths:
        return []
    session = needed(vault, "the signing keys are in Vault")
    return [TransitKey(session, path) for path in paths]

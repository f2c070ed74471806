"""Trusted public keys, from files and from Vault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect_slipway.flows.request.requirements import PEM
from prefect_slipway.flows.run.registries import needed
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.signing.keys import read_public_keys
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath


def in_vault(texts: Sequence[str]) -> bool:
    """Whether any of the keys is in Vault."""
    return any(text.startswith("vault:") for text in texts)


async def public_keys(
    texts: Sequence[str], vault: VaultSession | None, no_vault: StackDown | None = None
) -> tuple[PublicKey, ...]:
    """The keys that are named: all of a PEM file, or all versions of a key in Vault that are not revoked. `vault`: the
    run's open session, `no_vault`: why there is none. Raises InvalidOption, InvalidKey, StackDown, VaultErrors."""
    found: list[PublicKey] = []
    for text in texts:
        if text.startswith("vault:"):
            path = TransitPath.parse(text)
            found += await TransitKey(needed(vault, "the key is in Vault", no_vault), path).public_keys()
        elif text.startswith(PEM):
            found += read_public_keys(text, "the given PEM")
        else:
            found += read_public_keys(_read(Path(text)), text)
    return tuple(found)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidOption(
            f"the key {str(file)!r} cannot be read: {error.strerror}", action="use a PEM file, or vault:MOUNT/KEY"
        ) from error

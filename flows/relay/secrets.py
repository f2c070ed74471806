"""The sources' secrets, read at each use, so that a changed secret takes effect at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.flows.relay.forges import standard
from prefect_slipway.flows.relay.rules import Source
from prefect_slipway.infra.common.reasons import reason
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.vault.session import VaultSession

# How long a secret is cached: after a change the old one soon stops working.
_KEPT_S = 5.0
# After a wrong signature it is read again, so that a new one works at once, but not more often than this.
_AGAIN_S = 1.0
_SHORTEST = 16


@dataclass(frozen=True)
class _Read:
    values: tuple[bytes, ...]
    at: float

    def __repr__(self) -> str:
        return "_Read()"


class SourceSecrets:
    """Reads secrets from Vault or files. `vault`: None without a Vault. `clock`: seconds, never going backwards."""

    def __init__(self, vault: VaultSession | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._vault = vault
        self._clock = clock
        self._read: dict[str, _Read] = {}

    async def current(self, source: Source) -> tuple[bytes, ...]:
        """The current secrets. Raises the VaultErrors, InvalidOption."""
        known = self._read.get(source.secret)
        if known is not None and self._clock() - known.at < _KEPT_S:
            return known.values
        return await self._anew(source)

    async def changed(self, source: Source) -> tuple[bytes, ...] | None:
        """Read again after a signature did not match: the secrets if they have changed, else None.

        Raises the VaultErrors, InvalidOption.
        """
        known = self._read.get(source.secret)
        if known is not None and self._clock() - known.at < _AGAIN_S:
            return None
        values = await self._anew(source)
        return values if known is None or values != known.values else None

    async def _anew(self, source: Source) -> tuple[bytes, ...]:
        kind, _, place = source.secret.partition(":")
        texts = await (self._from_vault(source.secret) if kind == "vault" else asyncio.to_thread(_from_file, place))
        values = tuple(text.encode() for text in texts)
        for value in values:
            if len(value) < _SHORTEST:
                raise InvalidOption(f"the secret of the source {source.name} is shorter than {_SHORTEST} characters")
            standard.key_of(value)
        self._read[source.secret] = _Read(values, self._clock())
        return values

    async def _from_vault(self, place: str) -> list[str]:
        if self._vault is None:
            raise InvalidOption(f"{place} is in Vault, but no Vault is configured", action="set VAULT_ADDR and a login")
        values = await self._vault.read(SecretPath.parse(place))
        # The previous one is valid while the forge and Vault are changed one after the other.
        return [values.text("secret"), *([values.text("previous")] if values.get("previous") else [])]


def _from_file(place: str) -> list[str]:
    try:
        lines = Path(place).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not text"
        raise InvalidOption(f"the secret's file {place} cannot be read: {why}") from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise InvalidOption(f"the secret's file {place} is empty")
    return found

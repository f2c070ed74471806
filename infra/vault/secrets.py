"""A secret that was read from Vault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prefect_slipway.infra.domain.errors import SecretFieldMissing
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.vault.access import InMemory


class SecretValues(InMemory, Mapping[str, Any]):
    """The fields of a secret; shows its field names and never its values."""

    __slots__ = ("_values", "source")

    def __init__(self, source: SecretPath, values: Mapping[str, Any]) -> None:
        self.source = source
        self._values = dict(values)

    def text(self, field: str, *, action: str | None = None) -> str:
        """A field that must be there and hold text. Raises SecretFieldMissing, with `action`."""
        value = self._values.get(field)
        if not isinstance(value, str) or not value:
            there = ", ".join(sorted(self._values)) or "none"
            raise SecretFieldMissing(
                f"{self.source} has no text in the field {field!r}; its fields: {there}", action=action
            )
        return value

    def __getitem__(self, field: str) -> Any:
        return self._values[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"SecretValues({self.source}, fields={sorted(self._values)})"

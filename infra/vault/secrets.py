"""Where a secret is in Vault, and what was read there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flows.domain.errors import InvalidOption, SecretFieldMissing
from infra.vault.access import InMemory

SEGMENT = r"[^/\s\x00-\x1f\x7f?#%*+]+"
"""A part of a path of Vault's API that can mean nothing but itself."""
_PATH = re.compile(rf"vault:(?P<mount>{SEGMENT})/(?P<path>{SEGMENT}(?:/{SEGMENT})*)")


@dataclass(frozen=True, slots=True)
class SecretPath:
    """A secret of a KV version 2 mount, written `vault:MOUNT/PATH` without the `data/` of its API; or what an engine
    makes for each reader (`vault:MOUNT/creds/ROLE`).
    """

    mount: str
    path: str

    @classmethod
    def parse(cls, text: str) -> SecretPath:
        """Read `vault:MOUNT/PATH`; MOUNT is the first part. Raises InvalidOption."""
        match = _PATH.fullmatch(text)
        if match is None or {".", ".."} & set(text.removeprefix("vault:").split("/")):
            raise InvalidOption(
                "a secret's place in Vault is not of the form vault:MOUNT/PATH",
                action="write e.g. vault:secret/team/registry",
            )
        return cls(match["mount"], match["path"])

    def __str__(self) -> str:
        return f"vault:{self.mount}/{self.path}"


class SecretValues(InMemory, Mapping[str, Any]):
    """The fields of a secret; shows its field names and never its values."""

    __slots__ = ("_values", "source")

    def __init__(self, source: SecretPath, values: Mapping[str, Any]) -> None:
        self.source = source
        self._values = dict(values)

    def text(self, field: str) -> str:
        """A field that must be there and hold text. Raises SecretFieldMissing."""
        value = self._values.get(field)
        if not isinstance(value, str) or not value:
            there = ", ".join(sorted(self._values)) or "none"
            raise SecretFieldMissing(f"{self.source} has no text in the field {field!r}; its fields: {there}")
        return value

    def __getitem__(self, field: str) -> Any:
        return self._values[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"SecretValues({self.source}, fields={sorted(self._values)})"

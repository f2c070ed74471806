"""The outcome of one registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The outcome of a registration."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Registered:
    """One thing. `changes`: the fields that differed, where it was updated; why, where it was left out."""

    kind: str
    name: str
    outcome: Outcome
    changes: tuple[str, ...] = ()


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of `wanted` that differ in `found`."""
    return tuple(name for name, value in wanted.items() if found.get(name) != value)

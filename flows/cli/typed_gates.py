"""Gates that a person types: paths are relative to here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect_slipway.flows.request.gates import BLOCK, POLICY, SOURCE


def typed_gates(values: dict[str, Any]) -> dict[str, Any]:
    """The section `gates` of a request."""
    typed = {**values, "run": [_gate(text) for text in values.get("run", [])]}
    if waivers := values.get("waivers"):
        typed["waivers"] = _place(waivers)
    return typed


def _gate(text: str) -> str:
    before, found, place = text.partition(POLICY)
    named = not before or before.rstrip().endswith(":")
    return f"{before}{POLICY}{_place(place)}" if found and named and " " not in before.strip() else text


def _place(text: str) -> str:
    return text if text.startswith((SOURCE, BLOCK)) else str(Path(text).absolute())

"""Source policies of tests, in BuildKit's JSON."""

from __future__ import annotations

import json
from typing import Any

from prefect_slipway.infra.domain.source_policy import SourcePolicy


def rule(action: str, identifier: str, match_type: str = "WILDCARD", /, **updates: Any) -> dict[str, Any]:
    """`updates`: what CONVERT makes of the source."""
    selector = {"identifier": identifier, "match_type": match_type}
    return {"action": action, "selector": selector, **({"updates": updates} if updates else {})}


def rules_text(*rules: Any) -> str:
    """A policy's file."""
    return json.dumps({"version": 1, "rules": rules})


def policy(*rules: Any) -> SourcePolicy:
    return SourcePolicy.read("the policy", rules_text(*rules))

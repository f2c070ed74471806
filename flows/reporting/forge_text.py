"""The text of a release on a forge, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.values.plan import ReleasePlan


def forge_text(plan: ReleasePlan, references: Sequence[str], verify: Sequence[str]) -> str:
    """Notes, images with their digests, and the commands that verify them."""
    notes = plan.notes.markdown if plan.notes is not None else ""
    parts = [notes, "\n".join(["## Images", "", *(f"- `{reference}`" for reference in references)])]
    if verify:
        parts.append("\n".join(["## Verify", "", markdown.block("\n".join(verify))]))
    return "\n\n".join(filter(None, parts))

"""How values are written for people."""

from __future__ import annotations

from collections.abc import Sequence


def human_size(count: int) -> str:
    """Bytes in decimal units, as registries show them."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def aligned(facts: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each label and value, the values below each other."""
    width = max(len(label) for label, _ in facts)
    return [f"  {label:<{width}}  {value}" for label, value in facts]


def table_cell(text: str) -> str:
    """As it may stand in a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")

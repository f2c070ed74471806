"""Format values for people."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.infra.domain.outside import one_line


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
    width = max((len(label) for label, _ in facts), default=0)
    return [f"  {label:<{width}}  {one_line(value)}" for label, value in facts]


def columns(rows: Sequence[Sequence[str]], gap: int = 2) -> list[str]:
    """A line for each row, the cells of a column below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return [(" " * gap).join(row).rstrip() for row in padded]


def with_rest(shown: Sequence[str], count: int) -> list[str]:
    """What is shown of `count` entries, and how many more there are."""
    more = count - len(shown)
    return [*shown, f"and {more} more"] if more > 0 else list(shown)


def shortened(text: str, most: int) -> str:
    """At most so many characters, the last one a `…` where there were more."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def is_encodable(text: str) -> bool:
    """Whether it can be recorded and sent: names of files and arguments may hold bytes that are not UTF-8, as
    surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

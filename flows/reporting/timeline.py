"""The step timeline as a picture: SVG that a Markdown artifact carries as a data URI (inline it is stripped)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from prefect_slipway.flows.values.result import StepTime

_WIDTH, _LABEL, _ROW, _PAD, _TOP = 960, 380, 22, 12, 28
_MAX_ROWS = 60
_COLOURS = {"ran": "#2f6fde", "cached": "#9aa5b1", "failed": "#d64545"}


def as_svg(steps: Sequence[StepTime]) -> str:
    """Draw one bar per step. Of more than 60 steps only the longest are shown, in order."""
    longest = sorted(steps, key=lambda s: s.end_s - s.start_s, reverse=True)[:_MAX_ROWS]
    shown = [s for s in steps if s in longest]
    total = max((s.end_s for s in shown), default=0.0) or 1.0
    scale = (_WIDTH - _LABEL - 90) / total
    height = _TOP + _ROW * len(shown) + _PAD
    rows = []
    for index, step in enumerate(shown):
        y = _TOP + index * _ROW
        x = _LABEL + step.start_s * scale
        width = max(2.0, (step.end_s - step.start_s) * scale)
        kind = "failed" if step.failed else "cached" if step.cached else "ran"
        note = "cached" if step.cached else f"{step.end_s - step.start_s:.1f} s"
        rows.append(
            f'<text x="{_PAD}" y="{y + 15}">{escape(_shorten(step.name, 54))}</text>'
            f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="14" rx="2" fill="{_COLOURS[kind]}"/>'
            f'<text x="{x + width + 6:.1f}" y="{y + 15}" fill="#52606d">{note}</text>'
        )
    legend = "".join(
        f'<rect x="{_LABEL + i * 90}" y="8" width="10" height="10" rx="2" fill="{colour}"/>'
        f'<text x="{_LABEL + i * 90 + 15}" y="17" fill="#52606d">{kind}</text>'
        for i, (kind, colour) in enumerate(_COLOURS.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="monospace" font-size="12" fill="#1f2933">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>{legend}{"".join(rows)}</svg>'
    )


def as_data_uri(svg: str) -> str:
    """The SVG as a URI that a Markdown picture can carry."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def as_text(steps: Sequence[StepTime], width: int) -> list[str]:
    """The timeline for a terminal: one line per step. `width`: cells that a line may have."""
    total = max((s.end_s for s in steps), default=0.0) or 1.0
    label = min(46, width // 2)
    cells = min(30, max(8, width - label - len(" || cached ")))
    lines = []
    for step in steps:
        start = int(step.start_s / total * cells)
        length = max(1, round((step.end_s - step.start_s) / total * cells))
        bar = (" " * start + ("░" if step.cached else "█") * length)[:cells].ljust(cells)
        note = "cached" if step.cached else "failed" if step.failed else f"{step.end_s - step.start_s:.1f} s"
        lines.append(f"{_shorten(step.name, label):<{label}} |{bar}| {note}")
    return lines


def _shorten(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"

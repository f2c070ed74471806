"""A set of images as a picture: a box for each image, with its bases to the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from prefect_slipway.flows.values.order import columns

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _PAD = 220, 44, 70, 16, 14
COLOURS = {"built": "#2f6fde", "cached": "#9aa5b1", "failed": "#d64545", "not built": "#cbd2d9"}


def as_svg(bases: Mapping[str, Sequence[str]], states: Mapping[str, str], notes: Mapping[str, str]) -> str:
    """`states`: one of COLOURS' names for each image; `notes`: a line below its name."""
    places = {}
    for level, names in enumerate(shown := columns(bases)):
        for row, name in enumerate(names):
            places[name] = (_PAD + level * (_WIDTH + _GAP_X), _PAD + row * (_HEIGHT + _GAP_Y))
    width = 2 * _PAD + len(shown) * (_WIDTH + _GAP_X) - _GAP_X
    height = 2 * _PAD + max(map(len, shown), default=1) * (_HEIGHT + _GAP_Y) - _GAP_Y
    lines = "".join(_line(places[base], places[name]) for name, below in bases.items() for base in below)
    boxes = "".join(_box(name, place, states[name], notes.get(name, "")) for name, place in places.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="monospace" font-size="12" fill="#1f2933"><rect width="{width}" height="{height}" '
        f'fill="#ffffff"/>{lines}{boxes}</svg>'
    )


def _line(base: tuple[int, int], heir: tuple[int, int]) -> str:
    x1, y1, x2, y2 = base[0] + _WIDTH, base[1] + _HEIGHT // 2, heir[0], heir[1] + _HEIGHT // 2
    middle = (x1 + x2) // 2
    return f'<path d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}" fill="none" stroke="#9aa5b1"/>'


def _box(name: str, place: tuple[int, int], state: str, note: str) -> str:
    x, y = place
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="4" fill="#ffffff" stroke="{COLOURS[state]}" '
        f'stroke-width="2"/><text x="{x + 10}" y="{y + 18}">{escape(_short(name))}</text>'
        f'<text x="{x + 10}" y="{y + 35}" fill="#52606d">{escape(_short(note or state))}</text>'
    )


def _short(text: str) -> str:
    return text if len(text) <= 28 else text[:27] + "…"

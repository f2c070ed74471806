"""The order in which images are built and tagged: each after its bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect_slipway.flows.values.plan import ReleasePlan


def columns(bases: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The names grouped by their distance from those without a base. `bases`: each after its own."""
    depth: dict[str, int] = {}
    for name, below in bases.items():
        depth[name] = max((depth[base] + 1 for base in below), default=0)
    return [[name for name in bases if depth[name] == level] for level in range(max(depth.values(), default=-1) + 1)]


def by_level(plan: ReleasePlan) -> list[list[str]]:
    """The targets of a plan, each after its bases."""
    return columns({image.target: image.bases for image in plan.images})

"""Who depends on whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from prefect_slipway.infra.domain.errors import InvalidOption, ReleaseFileInvalid
from prefect_slipway.infra.domain.near import meant

Needs = Mapping[str, Sequence[str]]
"""By name: what it depends on, itself."""


def in_order(needs: Needs) -> list[str]:
    """The names, each after what it depends on; else as they were given. Raises ReleaseFileInvalid for a cycle."""
    try:
        order = TopologicalSorter(needs)
        order.prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise ReleaseFileInvalid(
            f"components depend on each other in a circle: {circle}", action="remove one of these dependencies"
        ) from None
    found: list[str] = []
    while order.is_active():
        ready = sorted(order.get_ready(), key=list(needs).index)
        found += ready
        order.done(*ready)
    return found


def with_needed(names: Collection[str], needs: Needs) -> set[str]:
    """These, and all that they depend on. Raises InvalidOption for a name that there is not."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needs:
            raise InvalidOption(
                f"there is no component {name!r}{meant(name, list(needs))}",
                action=f"use one of {', '.join(needs)}",
            )
        if name not in found:
            found.add(name)
            waiting += needs[name]
    return found

"""Choose one of several daemons for a source: always the same one while it lives, so that its cache is used.

A source belongs to a seat, and a pod keeps its seat while it lives; one that comes in a dead one's place takes that.
The seats are noted at the builder's root Lease, so that all releases that share it know the same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence

from prefect_slipway.infra.domain.errors import ObjectConflict, ObjectMissing
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import LEASE

SEATS = "slipway.dev/replicas"
"""Annotation of a root Lease: the pods' names in the order of their seats, as JSON."""
_TRIES = 10


def choose_replica(source: str, seats: Sequence[str], alive: Collection[str]) -> str:
    """The pod of the source's seat; if it is not alive, another pod, always the same one for this source.

    Neither may be empty.
    """
    own = seats[int.from_bytes(_hash(source)[:8], "big") % len(seats)]
    return own if own in alive else max(sorted(alive), key=lambda pod: _hash(f"{source}\0{pod}"))


def seated(before: Sequence[str], alive: Collection[str], count: int) -> list[str]:
    """`count` seats for these pods: living pods keep their seats, new ones take free ones; "" for a free seat.

    Where nobody of before lives it is another builder, and everything starts over.
    """
    kept = before if set(before) & set(alive) else []
    count = max(count, len(kept))
    seats = [pod if pod in alive else "" for pod in [*kept, *[""] * count][:count]]
    new = sorted(set(alive) - set(seats), reverse=True)
    return [pod or (new.pop() if new else "") for pod in seats]


async def take_seats(api: KubernetesApi, lease: str, alive: Collection[str], count: int) -> list[str]:
    """The seats of these pods, recorded on the Lease. Raises ClusterErrors."""
    for _ in range(_TRIES):
        root = await api.get(LEASE, lease)
        if root is None:
            raise ObjectMissing(f"lease/{lease} was removed")
        before = _noted((root["metadata"].get("annotations") or {}).get(SEATS))
        seats = seated(before, alive, count)
        if seats == before:
            return seats
        version = root["metadata"]["resourceVersion"]
        try:
            change = {"metadata": {"resourceVersion": version, "annotations": {SEATS: json.dumps(seats)}}}
            await api.merge(LEASE, lease, change)
        except ObjectConflict:
            continue  # renewed, or seated by another release
        return seats
    raise ObjectConflict(f"lease/{lease} changed {_TRIES} times while it was written")


def _noted(text: str | None) -> list[str]:
    try:
        seats = json.loads(text or "[]")
    except ValueError:
        return []
    return [str(pod) for pod in seats] if isinstance(seats, list) else []


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()

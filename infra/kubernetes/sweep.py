"""Removing what no run needs any more, and seeing that it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from flows.domain.errors import ClusterError, Leftovers, ObjectConflict
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.kinds import KINDS, LEASE, POD, Kind, Object, name_of, shown
from infra.kubernetes.lease import expires
from infra.kubernetes.model import BUILDER, MANAGED_BY, RUN, SHARED_RUN, SLIPWAY, USES

_OURS = f"{MANAGED_BY}={SLIPWAY}"
_LOOK_EVERY_S = 0.4
# Looks that may fail in a row; the pauses between them double.
_TRIES = 5
_LONGEST_PAUSE_S = 10.0
_POD_GRACE_S = 1


@dataclass(frozen=True, slots=True)
class Swept:
    """`roots`: the run roots (and shared builders) that had expired; `objects`: all that went, these first, as
    kubectl names it.
    """

    roots: tuple[str, ...]
    objects: tuple[str, ...]


async def sweep(api: KubernetesApi, *, timeout_s: float = 60.0) -> Swept:
    """Remove each run root of the namespace that has expired, each shared builder that nobody has used for its idle
    time, and whatever belongs to a run without a root. Raises Leftovers and ClusterErrors.
    """
    leases = await api.find(LEASE, _OURS)
    now = api.now()
    alive = [lease for lease in leases if expires(lease) > now]
    used = {lease["metadata"]["labels"].get(USES) for lease in alive}
    roots = []
    for lease in leases:
        if lease in alive or (_run(lease) == SHARED_RUN and name_of(lease) in used):
            continue
        if await _delete_root(api, lease):
            roots.append(shown(LEASE, name_of(lease)))
    there = await api.find(LEASE, _OURS)
    living = {_owner(lease) for lease in there if not lease["metadata"].get("deletionTimestamp")}
    gone = await _remove(api, _OURS, lambda obj: _owner(obj) not in living, timeout_s)
    return Swept(tuple(roots), (*roots, *(name for name in gone if name not in roots)))


async def remove_run(api: KubernetesApi, run: str, *, timeout_s: float = 60.0) -> list[str]:
    """Remove all objects with this run's label, its root first, and see that nothing of it is left.

    Deleting the root would do, if the cluster's garbage collector were known to run. Gives what went, as kubectl
    names it. Raises Leftovers and ClusterErrors.
    """
    return await _remove(api, f"{_OURS},{RUN}={run}", lambda _: True, timeout_s)


async def everything(api: KubernetesApi, selector: str) -> list[tuple[Kind, Object]]:
    """All objects with these labels, of all kinds that Slipway makes (Leases first: they own the rest)."""
    found = await asyncio.gather(*(api.find(kind, selector) for kind in KINDS))
    return [(kind, obj) for kind, objects in zip(KINDS, found, strict=True) for obj in objects]


async def _remove(api: KubernetesApi, selector: str, doomed: Callable[[Object], bool], timeout_s: float) -> list[str]:
    gone: set[str] = set()
    left: list[tuple[Kind, Object]] = []
    failures = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    left = [(kind, obj) for kind, obj in await everything(api, selector) if doomed(obj)]
                    if not left:
                        break
                    for kind, obj in left:
                        gone.add(shown(kind, name_of(obj)))
                        if not obj["metadata"].get("deletionTimestamp"):
                            await api.delete(obj, kind=kind, grace_s=_POD_GRACE_S if kind is POD else None)
                    failures = 0
                    await asyncio.sleep(_LOOK_EVERY_S)
                except ClusterError as error:
                    # A connection that broke, a limit, another object of the name by now: the next look may succeed.
                    failures += 1
                    if not error.retryable or failures == _TRIES:
                        raise
                    await asyncio.sleep(min(error.retry_after or _LOOK_EVERY_S * 2**failures, _LONGEST_PAUSE_S))
    except TimeoutError as error:
        what = [_held(kind, obj) for kind, obj in left]
        raise Leftovers(
            f"{len(what)} objects are still there after {timeout_s:g} s", details="\n".join(what)
        ) from error
    return sorted(gone)


async def _delete_root(api: KubernetesApi, lease: Object) -> bool:
    try:
        # `unchanged`: somebody who has just begun to use it has renewed it, and keeps it.
        return await api.delete(lease, kind=LEASE, unchanged=True)
    except ObjectConflict:
        return False


def _run(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get(RUN))


def _owner(obj: Object) -> tuple[str, str]:
    """Whose it is: a run's, or a shared builder's."""
    labels = obj["metadata"].get("labels") or {}
    run = str(labels.get(RUN))
    return run, str(labels.get(BUILDER)) if run == SHARED_RUN else ""


def _held(kind: Kind, obj: Object) -> str:
    finalizers = ", ".join(obj["metadata"].get("finalizers") or ()) or "none"
    return f"{shown(kind, name_of(obj))} (finalizers: {finalizers})"

"""Remove what no run needs any more, and check that it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from prefect_slipway.infra.domain.errors import ClusterError, Leftovers, ObjectConflict
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.docker_config import DOCKER_CONFIG
from prefect_slipway.infra.kubernetes.access.kinds import KINDS, LEASE, POD, SECRET, Kind, Object, name_of, shown
from prefect_slipway.infra.kubernetes.access.labels import BUILDER, MANAGED_BY, RUN, SHARED_RUN, SHELL, SLIPWAY, USES
from prefect_slipway.infra.kubernetes.access.lease import expires

_OURS = f"{MANAGED_BY}={SLIPWAY}"
_LOOK_EVERY_S = 0.4
# Looks that may fail in a row; the pauses between them double.
_TRIES = 5
_LONGEST_PAUSE_S = 10.0
_POD_GRACE_S = 1
# A busy kubelet takes more than a minute to end a pod that it should kill at once.
GONE_WITHIN_S = 120.0
_SWEEP = "then run `slipway sweep`, which removes the rest once its Lease has expired"


@dataclass(frozen=True, slots=True)
class Swept:
    """`roots`: the run roots (and shared builders) that had expired; `objects`: all that went, these first, as
    kubectl names it.
    """

    roots: tuple[str, ...]
    objects: tuple[str, ...]


async def sweep(api: KubernetesApi, *, timeout_s: float = GONE_WITHIN_S) -> Swept:
    """Remove each run root of the namespace that has expired, each shared builder that nobody has used for its idle
    time, and whatever belongs to a run without a root. Raises Leftovers and ClusterErrors.
    """
    leases = await api.find(LEASE, _OURS)
    now = api.now()
    alive = [lease for lease in leases if expires(lease) > now]
    used = {lease["metadata"]["labels"].get(USES) for lease in alive}
    roots, dead = [], set()
    for lease in leases:
        if lease in alive or (_run(lease) == SHARED_RUN and name_of(lease) in used):
            continue
        try:
            # `unchanged`: a new user has just renewed it, and keeps it.
            if await api.delete(lease, kind=LEASE, unchanged=True):
                roots.append(shown(LEASE, name_of(lease)))
        except ObjectConflict:
            continue
        except ClusterError as error:
            if error.retryable:
                raise
            dead.add(lease["metadata"]["uid"])  # its objects can go all the same
    there = await api.find(LEASE, _OURS)
    living = {
        _owner(lease)
        for lease in there
        if not lease["metadata"].get("deletionTimestamp") and lease["metadata"]["uid"] not in dead
    }
    shells = {lease["metadata"]["labels"].get(SHELL) for lease in alive}

    def doomed(obj: Object) -> bool:
        return _owner(obj) not in living or _forsaken(obj, used, shells)

    gone = await Removal(api, _OURS, doomed).run(timeout_s)
    return Swept(tuple(roots), (*roots, *(name for name in gone if name not in roots)))


async def remove_run(api: KubernetesApi, run: str, *, timeout_s: float = GONE_WITHIN_S) -> list[str]:
    """Remove all objects with this run's label, its root first, and check that nothing is left.

    Gives what went, as kubectl names it. Raises Leftovers and ClusterErrors.
    """
    return await Removal(api, f"{_OURS},{RUN}={run}", lambda _: True, root=f"{SLIPWAY}-{run}").run(timeout_s)


async def everything(api: KubernetesApi, selector: str) -> list[tuple[Kind, Object]]:
    """All objects with these labels, of all kinds that Slipway makes (Leases first: they own the rest)."""
    found = await asyncio.gather(*(api.find(kind, selector) for kind in KINDS))
    return [(kind, obj) for kind, objects in zip(KINDS, found, strict=True) for obj in objects]


@dataclass
class _Look:
    """What a look found: `left`: what was there, by name; `refused`: what of it would not be deleted, and why;
    `unseen`: kinds that could not be listed; `root`: the root, None if there is none or it cannot be seen.
    """

    root: Object | None = None
    left: dict[str, Object] = field(default_factory=dict)
    refused: dict[str, ClusterError] = field(default_factory=dict)
    unseen: dict[Kind, ClusterError] = field(default_factory=dict)

    @property
    def troubles(self) -> list[ClusterError]:
        return [*self.unseen.values(), *self.refused.values()]


class Removal:
    """Objects on their way out, in looks: each deletes what is there, the root first (what it owns goes with it, by the
    cluster's garbage collector), then kind by kind, whatever else fails.

    `selector`, `doomed`: which objects. `root`: the name of the Lease that owns all of them, None where there are
    several or none.
    """

    def __init__(
        self, api: KubernetesApi, selector: str, doomed: Callable[[Object], bool], *, root: str | None = None
    ) -> None:
        self._api = api
        self._selector = selector
        self._doomed = doomed
        self._root = root
        self._root_deleted = False
        self._gone: set[str] = set()

    async def run(self, timeout_s: float) -> list[str]:
        """The removed objects, if nothing is left. Raises Leftovers, or the reason if nothing could be listed."""
        failures = 0
        look = _Look()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    look = await self._look()
                    # A deleted root disappears last: then nothing is left of the kinds that could not be listed.
                    pending = self._root_deleted and look.root is not None
                    if not look.left and not pending and (not look.unseen or self._root_deleted):
                        return sorted(self._gone)
                    # A connection that broke, a limit, another object of the name by now: the next look may succeed.
                    passing = [error for error in look.troubles if error.retryable]
                    failures = failures + 1 if passing else 0
                    stuck = not passing and not pending and all(name in look.refused for name in look.left)
                    if stuck or failures == _TRIES:
                        raise self._failure(look, "could not be removed")
                    await asyncio.sleep(_pause_s(passing, failures))
        except TimeoutError as error:
            raise self._failure(look, f"still exist after {timeout_s:g} s") from error

    async def _look(self) -> _Look:
        look = _Look()
        root, *found = await asyncio.gather(
            self._find_root(), *(self._api.find(kind, self._selector) for kind in KINDS), return_exceptions=True
        )
        if isinstance(root, dict):
            look.root = root
            await self._delete(look, LEASE, root)
        for kind, objects in zip(KINDS, found, strict=True):
            if isinstance(objects, list):
                for obj in objects:
                    if self._doomed(obj):
                        await self._delete(look, kind, obj)
            elif isinstance(objects, ClusterError):
                look.unseen[kind] = objects
            elif isinstance(objects, BaseException):
                raise objects
        if isinstance(root, BaseException) and self._root_deleted and LEASE in look.unseen:
            self._root_deleted = False  # it cannot be seen any more whether it is gone
        return look

    async def _find_root(self) -> Object | None:
        """By its name: it may be deleted where Leases may not be listed."""
        root = await self._api.get(LEASE, self._root) if self._root is not None else None
        ours = root is not None and (root["metadata"].get("labels") or {}).get(MANAGED_BY) == SLIPWAY
        return root if ours else None

    async def _delete(self, look: _Look, kind: Kind, obj: Object) -> None:
        name = shown(kind, name_of(obj))
        if name in look.left:
            return  # the root, which the look at all Leases finds as well
        look.left[name] = obj
        if not obj["metadata"].get("deletionTimestamp"):
            try:
                await self._api.delete(obj, kind=kind, grace_s=_POD_GRACE_S if kind is POD else None)
            except ClusterError as error:
                look.refused[name] = error
                return
        self._gone.add(name)
        self._root_deleted |= kind is LEASE and name_of(obj) == self._root

    def _failure(self, look: _Look, what: str) -> ClusterError:
        if len(look.unseen) == len(KINDS) and not self._gone:
            return next(iter(look.unseen.values()))
        lines = [_held(name, obj, look.refused.get(name)) for name, obj in sorted(look.left.items())]
        lines += [f"{kind.plural} could not be listed: {error.cause}" for kind, error in look.unseen.items()]
        actions = dict.fromkeys(error.action for error in look.troubles if not error.retryable)
        number = f"{len(look.left)} object{'s' if len(look.left) != 1 else ''}" if look.left else "some objects"
        return Leftovers(
            f"{number} {what}",
            details="\n".join(lines),
            action="; ".join([*actions, _SWEEP]) if actions else None,
        )


def _pause_s(troubles: list[ClusterError], failures: int) -> float:
    asked_s = max((error.retry_after or 0.0 for error in troubles), default=0.0)
    return min(asked_s or _LOOK_EVERY_S * 2**failures, _LONGEST_PAUSE_S)


def _forsaken(obj: Object, used: Container[str | None], shells: Container[str | None]) -> bool:
    """What a shared builder holds for runs alone that have died: passwords, and a pod that shows them."""
    labels = obj["metadata"].get("labels") or {}
    if obj["kind"] == POD.name and SHELL in labels:
        return labels[SHELL] not in shells
    credentials = obj["kind"] == SECRET.name and obj.get("type") == DOCKER_CONFIG
    return credentials and _run(obj) == SHARED_RUN and labels.get(BUILDER) not in used


def _run(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get(RUN))


def _owner(obj: Object) -> tuple[str, str]:
    """Whose it is: a run's, or a shared builder's."""
    labels = obj["metadata"].get("labels") or {}
    run = str(labels.get(RUN))
    return run, str(labels.get(BUILDER)) if run == SHARED_RUN else ""


def _held(name: str, obj: Object, refused: ClusterError | None) -> str:
    if refused is not None:
        return f"{name}: {refused.cause}"
    finalizers = ", ".join(obj["metadata"].get("finalizers") or ()) or "none"
    return f"{name} (finalizers: {finalizers})"

"""Versions in a registry's tags, reserved by markers that are checked again after they were written.

The OCI distribution API has no conditional write (opencontainers/distribution-spec#251 is open since 2021), and a write
may take as long as it likes. So each release writes a marker that nobody else writes, and only then looks for others:
of two that want the same version at least one sees the other's marker, whatever the order and the delays. A release
that sees no other marker has the version; nobody who comes later can overlook its own. A release that sees another one
gives way: the later one at once, the earlier one when the later has had the time to do so and has not, which means that
it had looked before. (The flag principle, with numbers as in Lamport's bakery.) A marker is a lease, by the registry's
own clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from prefect_slipway.infra.common.claims import TTL_S, Note
from prefect_slipway.infra.common.processes import Owner, is_alive
from prefect_slipway.infra.domain.errors import (
    RegistryError,
    RegistryUnavailable,
    TagImmutable,
    VersionReserved,
    VersionTaken,
)
from prefect_slipway.infra.domain.ledger import NOTHING_TOLD, Announcement, Claim, Reservation, continues
from prefect_slipway.infra.domain.version import Version, image_tag, version_of_tag
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.markers import Marker, Markers, new_order

_ATTEMPTS = 40
# A lease is relied on until so much of it is left.
_MARGIN = 1 / 15
# What was written has to show in the list of tags within this time.
_SHOWS_WITHIN_S = 30.0


@dataclass
class _Own:
    """What a release has put up: by place the tags of its markers, their manifests' digests, and when it decides.

    `reservation`: as it was written last. `writing`: held while it changes, as it is also renewed in the background.
    """

    order: str
    reservation: Reservation | None = None
    tags: dict[int, str] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    decides: dict[int, float] = field(default_factory=dict)
    took_s: float = 0.0
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class _Seen:
    """A look at all places. `markers`: those of other releases, by place; `mine`: the digests of ours."""

    released: list[Version]
    markers: dict[int, list[Marker]]
    mine: dict[int, str]

    def others(self) -> list[tuple[int, Marker, Note]]:
        """The reservations of other releases, each with its place."""
        return [(i, one, one.note) for i, found in self.markers.items() for one in found if one.note is not None]


class RegistryLedger:
    """A VersionLedger over the repositories of one image, or of a set's images, whose versions are one. Raises the
    client's RegistryErrors.

    `ttl_s`: seconds after which a reservation of another machine that nobody kept counts as left behind; on this
    machine a dead owner is seen at once (`owner_alive`). `decide_s`: how long a release may take from its marker to its
    decision before another one stops waiting for it; `poll_s`: how often that one looks.
    """

    def __init__(
        self,
        repositories: Iterable[tuple[RegistryClient, str]],
        *,
        owner_alive: Callable[[Owner], bool | None] = is_alive,
        ttl_s: float = TTL_S,
        decide_s: float = 10.0,
        poll_s: float = 0.2,
    ) -> None:
        self._places = [Markers(registry, repository) for registry, repository in repositories]
        self._owner_alive = owner_alive
        self._ttl_s = ttl_s
        self._decide_s = decide_s
        self._poll_s = poll_s
        self._held: dict[Version, _Own] = {}

    async def versions(self) -> Sequence[Version]:
        tags = await asyncio.gather(*(place.registry.tags(place.repository) for place in self._places))
        return _versions(tag for each in tags for tag in each)

    async def reserve(self, claim: Claim, choose: Callable[[Sequence[Version]], Version]) -> Reservation:
        own = _Own(new_order())
        try:
            seen = await self._look(own)
            for _ in range(_ATTEMPTS):
                reservation, seen = await self._try_reserve(own, seen, claim, choose)
                if reservation is not None:
                    self._held[reservation.version] = own
                    return reservation
            raise VersionReserved(f"{self._where}: other releases took every version that was tried")
        except BaseException:
            with suppress(RegistryError):
                await self._remove(own)
            raise

    async def note_digest(self, reservation: Reservation, digest: str) -> Reservation:
        noted = replace(reservation, claim=replace(reservation.claim, digest=digest))
        own = self._own(reservation)
        async with own.writing:
            await self._hold(own, noted)
        return noted

    async def keep(self, reservation: Reservation) -> None:
        own = self._own(reservation)
        async with own.writing:
            # The current reservation: a digest noted at this moment must not be lost.
            await self._hold(own, own.reservation or reservation)

    async def publish(self, reservation: Reservation, told: Announcement = NOTHING_TOLD) -> str:
        """Does nothing, because the registry's tag is the public record."""
        return "" if told.changelog is None else f"{told.changelog.path} is not written, because there is no git tag"

    async def give_back(self, reservation: Reservation) -> None:
        own = self._held.get(reservation.version)
        if own is not None:
            async with own.writing:
                await self._remove(own)
            self._held.pop(reservation.version, None)

    async def leave(self, reservation: Reservation) -> None:
        own = self._held.pop(reservation.version, None)
        if own is not None:
            async with own.writing:
                await self._write(own, reservation, left=True)

    async def _try_reserve(
        self, own: _Own, seen: _Seen, claim: Claim, choose: Callable[[Sequence[Version]], Version]
    ) -> tuple[Reservation | None, _Seen]:
        """One attempt; None when another release has the chosen version, or may have it. And the last look."""
        left = [entry for entry in seen.others() if self._is_left(entry[0], entry[2], claim)]
        reserved = [entry[2].version for entry in seen.others() if entry not in left]
        before = self._continued([note for _, _, note in left], claim, choose, seen.released, reserved)
        # The resumed reservation is removed once ours exists.
        await self._drop(entry for entry in left if before is None or entry[2].claim != before.claim)
        if before is not None:
            reservation = Reservation(before.version, replace(claim, digest=before.claim.digest), resumed=True)
        else:
            version = choose([*seen.released, *reserved])
            if version in seen.released:
                raise VersionTaken(f"the version {version} of {self._where} is released already")
            if version in reserved:
                raise VersionReserved(f"another release has reserved {version} of {self._where}")
            reservation = Reservation(version, claim)
        await self._announce(own, reservation, seen)
        has, seen = await self._has(own, reservation)
        if not has:
            return None, seen
        await self._drop(entry for entry in left if before is not None and entry[2].claim == before.claim)
        return reservation, seen

    async def _has(self, own: _Own, reservation: Reservation) -> tuple[bool, _Seen]:
        """Whether the version is ours, once our markers stand: not so if somebody else has it, or may have it."""
        started = time.monotonic()
        while True:
            seen = await self._look(own)
            if len(seen.mine) < len(self._places):
                if time.monotonic() - started > _SHOWS_WITHIN_S:
                    raise RegistryUnavailable(f"{self._where}: written tags are not visible")
                await asyncio.sleep(self._poll_s)
            elif seen.mine != own.digests:
                await self._begin_anew(own)
                return False, seen
            elif rivals := self._rivals(seen, reservation):
                if any(rival.order < own.order or self._now(place) > rival.decides for place, rival in rivals):
                    return False, seen
                await self._news_of(rivals, reservation.claim)
            elif not reservation.resumed and (public := await self._is_public(reservation.version)):
                return False, replace(seen, released=[*seen.released, public])  # its marker is gone already
            elif all(self._now(place) < decides for place, decides in own.decides.items()):
                return True, seen
            else:
                await self._announce(own, reservation, seen)  # others may have stopped waiting for us

    async def _news_of(self, rivals: Sequence[tuple[int, Marker]], claim: Claim) -> None:
        """Wait until one of those who came later has given way or is dead, or must have decided before it saw us."""
        while True:
            await asyncio.sleep(self._poll_s)
            for place, rival in rivals:
                now = await self._places[place].read(rival.tag)
                if now is None or now.note is None or now.digest != rival.digest:
                    return
                if self._now(place) > rival.decides or self._is_left(place, now.note, claim):
                    return

    def _rivals(self, seen: _Seen, reservation: Reservation) -> list[tuple[int, Marker]]:
        """Who wants the same version."""
        return [
            (place, marker)
            for place, marker, note in seen.others()
            if note.version == reservation.version and not self._is_left(place, note, reservation.claim)
        ]

    async def _hold(self, own: _Own, reservation: Reservation) -> None:
        """Renew a reservation. Raises VersionReserved if another release has taken it over."""
        if all(await asyncio.gather(*(self._stands(place, own) for place in own.tags))):
            await self._write(own, reservation)
            return
        # Others may have considered it dead: check again whether anyone else wants the version.
        seen = await self._look(own)
        if any(own.digests[place] != digest for place, digest in seen.mine.items()):
            await self._begin_anew(own)
        await self._announce(own, reservation, seen)
        if not (await self._has(own, reservation))[0]:
            self._held.pop(reservation.version, None)
            await self._remove(own)
            raise self._lost(reservation)

    async def _begin_anew(self, own: _Own) -> None:
        """Another release has written over one of our markers: new ones are needed, under new tags."""
        await self._remove(own)
        own.order = new_order()
        own.tags.clear()
        own.digests.clear()

    async def _stands(self, place: int, own: _Own) -> bool:
        """Whether nobody can have taken our marker for left so far."""
        found = await self._places[place].read(own.tags[place])
        if found is None or found.note is None or found.digest != own.digests[place]:
            return False
        return not found.note.is_expired(self._now(place) + _MARGIN * self._ttl_s)

    async def _announce(self, own: _Own, reservation: Reservation, seen: _Seen) -> None:
        """Put our markers up, with a time by which we shall have decided: longer where writing takes long."""
        started = time.monotonic()
        for place, markers in enumerate(self._places):
            if place not in own.tags:
                own.tags[place] = markers.new_tag(own.order, seen.markers[place], self._ttl_s)
            own.decides[place] = self._now(place) + max(self._decide_s, 3 * own.took_s)
        await self._write(own, reservation, changed=True)
        own.took_s = max(own.took_s, time.monotonic() - started)

    async def _write(self, own: _Own, reservation: Reservation, *, changed: bool = False, left: bool = False) -> None:
        """`changed`: others have to see it as it is now. `left`: nobody works on it any more."""
        own.reservation = reservation
        await _all(self._write_at(place, own, reservation, changed, left) for place in list(own.tags))

    async def _write_at(self, place: int, own: _Own, reservation: Reservation, changed: bool, left: bool) -> None:
        markers, tag, before = self._places[place], own.tags[place], own.digests.get(place)
        note = Note.now(reservation.version, reservation.claim, self._ttl_s, self._now(place))
        if left:
            note = replace(note, expires=0.0)
        try:
            digest = await markers.write(tag, own.order, note, own.decides[place])
        except TagImmutable:
            if before is None:
                raise
            if not changed:
                return  # where no tag ever changes, the registry guards the version's own as well
            own.tags[place] = markers.new_tag(new_order(), (), self._ttl_s)
            own.digests[place] = await markers.write(own.tags[place], own.order, note, own.decides[place])
            await markers.remove(tag, own.order)
            return
        own.digests[place] = digest
        if before is not None and before != digest:
            await markers.replaced(before)

    async def _remove(self, own: _Own) -> None:
        """Also what may have been written when it was interrupted."""
        await _all(self._places[place].remove(tag, own.order) for place, tag in own.tags.items())

    async def _drop(self, entries: Iterable[tuple[int, Marker, Note]]) -> None:
        """Take down what dead runs left. What will not go blocks nobody."""
        for place, marker, _ in entries:
            with suppress(RegistryError):
                await self._places[place].remove(marker.tag, marker.order)

    async def _look(self, own: _Own) -> _Seen:
        found = await asyncio.gather(*(place.look() for place in self._places))
        return _Seen(
            _versions(tag for tags, _ in found for tag in tags),
            {i: [one for one in each if one.tag != own.tags.get(i)] for i, (_, each) in enumerate(found)},
            {i: one.digest for i, (_, each) in enumerate(found) for one in each if one.tag == own.tags.get(i)},
        )

    async def _is_public(self, version: Version) -> Version | None:
        """The version, if one of the images has it."""
        tag = image_tag(version)
        found = await asyncio.gather(*(place.registry.head(place.repository, tag) for place in self._places))
        return version if any(found) else None

    def _continued(
        self,
        left: Sequence[Note],
        claim: Claim,
        choose: Callable[[Sequence[Version]], Version],
        released: Sequence[Version],
        reserved: Sequence[Version],
    ) -> Note | None:
        """What a dead run of the same source had reserved, and perhaps published; one with an image goes first."""
        taken = [*released, *reserved]
        for note in sorted(left, key=lambda note: note.claim.digest is None):
            published = note.version in released and note.version not in reserved
            if continues(note.claim, note.version, claim, choose, taken, published=published):
                return note
        return None

    def _is_left(self, place: int, note: Note, claim: Claim) -> bool:
        """Whether nobody works on it any more: its run is this one, its process gone, or its time over."""
        now = self._now(place)
        # No lease is longer: a time far away is somebody's clock, or somebody's joke.
        if note.claim.run == claim.run or note.is_expired(now) or note.expires > now + 2 * self._ttl_s:
            return True
        return self._owner_alive(note.owner) is False

    def _own(self, reservation: Reservation) -> _Own:
        own = self._held.get(reservation.version)
        if own is None:
            raise self._lost(reservation)
        return own

    def _now(self, place: int) -> float:
        return self._places[place].registry.now()

    @property
    def _where(self) -> str:
        return ", ".join(place.place for place in self._places)

    def _lost(self, reservation: Reservation) -> VersionReserved:
        return VersionReserved(
            f"another release took {reservation.version} of {self._where} over because it considered this one dead"
        )


async def _all(writing: Iterable[Awaitable[None]]) -> None:
    """All of it, to its end, before the first error is raised: what is still on its way could not be taken back."""
    for outcome in await asyncio.gather(*writing, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _versions(tags: Iterable[str]) -> list[Version]:
    return [version for tag in tags if (version := version_of_tag(tag)) is not None]

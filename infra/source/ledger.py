"""Versions as git knows them: tags for released ones, refs below `refs/slipway/` for those being released.

A reservation is a ref `refs/slipway/PREFIX+VERSION` to a commit without parents and files whose message is
the claim as JSON (see `claims`); it is made, changed and removed only on the condition that it is what it was
seen as, in the remote repository if there is one (`git push --force-with-lease`, githooks never run), else
here (`git update-ref`). The public tag has the release notes as its message, else it is lightweight.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from prefect_slipway.infra.common.claims import TTL_S, Note
from prefect_slipway.infra.common.processes import Owner, is_alive
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import InvalidOption, SourceError, VersionReserved, VersionTaken
from prefect_slipway.infra.domain.ledger import NOTHING_TOLD, Announcement, Claim, Released, Reservation, continues
from prefect_slipway.infra.domain.version import Version, version_of_git_tag, versions_of_git_tags
from prefect_slipway.infra.source.branch_file import BranchFile
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import Remote
from prefect_slipway.infra.source.history import remote_of
from prefect_slipway.infra.source.refs import Change, RefStore, State
from prefect_slipway.infra.source.url import GitUrl, check_ref

_ATTEMPTS = 40
_PAUSE_S = 0.05
_MOMENT_S = 2.0


class GitLedger:
    """A VersionLedger over one git repository. All methods raise SourceErrors on trouble with git or remote.

    `repository`: on this machine. `prefix`: of the tags (`v`, `app/v`). `revision`: the commit that a
    released version's tag names. `remote`: where the tags are kept; None keeps them in `repository`. `ttl_s`:
    seconds after which a reservation of another machine counts as left behind (each noted digest starts them
    over); on this machine a dead owner is seen at once (`owner_alive`).
    """

    def __init__(
        self,
        repository: Path,
        *,
        prefix: str,
        revision: str,
        remote: Remote | None = None,
        owner_alive: Callable[[Owner], bool | None] = is_alive,
        ttl_s: float = TTL_S,
    ) -> None:
        check_ref(f"refs/tags/{prefix}0.1.0")
        self.prefix = prefix
        self.revision = revision
        self.remote = remote
        self._refs = RefStore(repository, remote)
        self._repository = repository
        self._owner_alive = owner_alive
        self._ttl_s = ttl_s
        # Reservations as this process has written them: each is changed on the condition that it still is so, which
        # spares a look at the remote before.
        self._written: dict[str, _Held] = {}
        self._looked: tuple[float, State] | None = None

    @classmethod
    async def open(
        cls,
        checkout: Checkout,
        *,
        prefix: str,
        remote: str | None = None,
        credentials: CredentialSource | None = None,
    ) -> GitLedger:
        """The ledger of a checkout's repository.

        `remote`: the name of one of its remotes or a URL; `-` keeps the tags in a user's own repository; None
        takes `origin` if there is one (a fetched source has it always). Raises InvalidOption for an
        unknown remote.
        """
        if checkout.repository is None or checkout.revision is None:
            raise ValueError("a git ledger needs a checkout with a revision")
        place = None
        if remote != "-":
            place = await remote_of(
                checkout.repository, remote or "origin", credentials, ca_file=checkout.ca_file, push=True
            )
            if place is None and remote is not None:
                if not re.search(r"[:/]", remote):
                    raise InvalidOption(
                        f"{checkout.repository} has no remote {remote!r}",
                        action="check the remotes with `git remote -v`",
                    )
                place = Remote(GitUrl.parse(remote, base=checkout.repository), credentials, checkout.ca_file)
        return cls(checkout.repository, prefix=prefix, revision=checkout.revision, remote=place)

    def tag_name(self, version: Version) -> str:
        """The git tag that makes a version public."""
        return f"{self.prefix}{version}"

    async def versions(self) -> Sequence[Version]:
        return [release.version for release in await self.released()]

    async def released(self) -> Sequence[Released]:
        """The released versions with the commits of their tags; a tag may also point to something else."""
        state = await self._refs.read()
        self._looked, tags = (time.monotonic(), state), state.tags
        named = ((version_of_git_tag(name, self.prefix), revision) for name, revision in tags.items())
        return [Released(version, revision) for version, revision in named if version is not None]

    async def reserve(self, claim: Claim, choose: Callable[[Sequence[Version]], Version]) -> Reservation:
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, _PAUSE_S * min(attempt, 10)))  # noqa: S311 (no secret)
            reservation = await self._try_reserve(claim, choose)
            if reservation is not None:
                return reservation
        raise VersionReserved(
            f"{self._refs.place}: other releases took every version that was tried", details=self._refs.last_refusal
        )

    async def note_digest(self, reservation: Reservation, digest: str) -> Reservation:
        claim = replace(reservation.claim, digest=digest)
        for attempt in range(_ATTEMPTS):
            held = await self._own(reservation, attempt)
            if await self._write(self._note(reservation.version, claim), held):
                return replace(reservation, claim=claim)
        raise self._lost(reservation)

    async def keep(self, reservation: Reservation) -> None:
        for attempt in range(_ATTEMPTS):
            held = await self._own(reservation, attempt)
            if held is None or held.note is None:
                raise self._lost(reservation)
            # The current reservation: a digest noted at this moment must not be lost.
            if await self._write(self._note(reservation.version, held.note.claim), held):
                return
        raise self._lost(reservation)

    async def publish(self, reservation: Reservation, told: Announcement = NOTHING_TOLD) -> str:
        tag = self.tag_name(reservation.version)
        made: str | None = None
        file = BranchFile(self._repository, self._refs, self.remote, told.changelog, self.revision)
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, _PAUSE_S * min(attempt, 10)))  # noqa: S311 (no secret)
            # At first the tag is thought to be missing, as it was when the version was reserved.
            sure = attempt > 0 or reservation.resumed
            named = (await self._refs.read()).tags.get(tag) if sure else None
            changes: list[Change] = []
            written: _Held | None = None
            if named is None:
                if made is None and told.message:
                    made = await self._refs.store_tag(tag, self.revision, told.message)
                changes.append(Change(f"refs/tags/{tag}", None, made or self.revision))
                if (held := await self._own(reservation, attempt)) is not None:
                    # Written again: the tag only appears if nobody has taken over the reservation in the meantime.
                    written = await self._stored(self._note(reservation.version, reservation.claim))
                    changes.append(Change(self._ref(reservation.version), held.revision, written.revision))
            elif named != self.revision:
                raise VersionTaken(
                    f"the tag {tag} of {self._refs.place} names the commit {named[:12]}, not {self.revision[:12]}"
                )
            entry = await file.next_change()
            if not changes and entry is None:
                break
            try:
                if await self._refs.apply(*changes, *([entry] if entry is not None else [])):
                    made = (made or self.revision) if changes else None
                    if written is not None:
                        self._written[self._ref(reservation.version)] = written
                    await file.arrive()
                    break
            except SourceError as error:
                if entry is None:
                    raise
                file.give_up(error.cause)
        else:
            raise self._lost(reservation)
        try:
            await self._refs.copy_tag(tag, made)
        except SourceError as error:
            return "; ".join(filter(None, (file.warning, f"{self._repository} does not have the tag: {error.cause}")))
        return file.warning

    async def give_back(self, reservation: Reservation) -> None:
        ref = self._ref(reservation.version)
        for _ in range(_ATTEMPTS):
            found = self._written.pop(ref, None) or await self._find(reservation.version)
            if found is None or found.note is None or found.note.claim.run != reservation.claim.run:
                return
            if await self._refs.apply(Change(ref, found.revision, None)):
                return
        raise self._lost(reservation)

    async def leave(self, reservation: Reservation) -> None:
        note = Note.now(reservation.version, reservation.claim, ttl_s=0)
        for attempt in range(_ATTEMPTS):
            held = await self._own(reservation, attempt)
            if held is None or await self._write(note, held):
                return
        raise self._lost(reservation)

    async def _try_reserve(self, claim: Claim, choose: Callable[[Sequence[Version]], Version]) -> Reservation | None:
        """One attempt; None when another release was quicker, so that what is known is out of date."""
        state = await self._just_seen()
        released = list(versions_of_git_tags(state.tags, self.prefix))
        held = await self._reservations(state)
        left = [entry for entry in held if self._is_left(entry, claim)]
        taken = [*released, *(entry.version for entry in held if entry not in left)]
        for entry in left:
            resumed = await self._resume(entry, claim, choose, taken, state)
            if resumed is not None:
                return resumed
            if not await self._refs.apply(Change(self._ref(entry.version), entry.revision, None)):
                return None
        version = choose(taken)
        if version in released:
            raise VersionTaken(f"the version {version} is released already: {self.tag_name(version)}")
        if version in taken:
            raise VersionReserved(f"another release has reserved the version {version} in {self._refs.place}")
        new = await self._stored(self._note(version, claim))
        kept = False
        try:
            if not await self._refs.apply(Change(self._ref(version), None, new.revision)):
                kept = True  # by somebody else
                return None
            # It, or one that it has to follow, may have been published between the look and the taking.
            kept = versions_of_git_tags((await self._refs.read()).tags, self.prefix).keys() <= set(released)
            if not kept:
                return None
            self._written[self._ref(version)] = new
            return Reservation(version, claim)
        finally:
            if not kept:  # also when this was cancelled, or the network failed, with the ref taken or not
                with suppress(SourceError):
                    await self._refs.apply(Change(self._ref(version), new.revision, None))

    async def _just_seen(self) -> State:
        """What a plan has seen a moment ago, once, else what is there now. What was published or taken in between is
        noticed when a version is taken."""
        looked, self._looked = self._looked, None
        if looked is not None and time.monotonic() - looked[0] < _MOMENT_S:
            return looked[1]
        return await self._refs.read()

    async def _resume(
        self,
        left: _Held,
        claim: Claim,
        choose: Callable[[Sequence[Version]], Version],
        taken: Sequence[Version],
        state: State,
    ) -> Reservation | None:
        """Go on with what a dead run of the same source had reserved, and perhaps published."""
        published = state.tags.get(self.tag_name(left.version)) == self.revision
        if left.note is None or not continues(left.note.claim, left.version, claim, choose, taken, published=published):
            return None
        continued = replace(claim, digest=left.note.claim.digest)
        if not await self._write(self._note(left.version, continued), left):
            return None
        return Reservation(left.version, continued, resumed=True)

    def _is_left(self, entry: _Held, claim: Claim) -> bool:
        """Whether nobody works on it any more: its run is this one, its process gone, or its time over."""
        if entry.note is None or entry.note.claim.run == claim.run or entry.note.is_expired():
            return True
        return self._owner_alive(entry.note.owner) is False

    async def _stored(self, note: Note) -> _Held:
        """Nothing refers to it yet."""
        return _Held(note.version, await self._refs.store(note.message), note)

    async def _write(self, note: Note, held: _Held | None) -> bool:
        """Whether the reservation was as `held`, and is as `note` now."""
        new, ref = await self._stored(note), self._ref(note.version)
        if not await self._refs.apply(Change(ref, held.revision if held else None, new.revision)):
            return False
        self._written[ref] = new
        return True

    async def _own(self, reservation: Reservation, attempt: int) -> _Held | None:
        """The reservation as it stands, at the first attempt as this process wrote it; None if it is gone. Raises
        VersionReserved if another run has it."""
        if attempt == 0 and (written := self._written.get(self._ref(reservation.version))) is not None:
            return written
        found = await self._find(reservation.version)
        if found is not None and (found.note is None or found.note.claim.run != reservation.claim.run):
            raise self._lost(reservation)
        return found

    def _lost(self, reservation: Reservation) -> VersionReserved:
        return VersionReserved(
            f"another release took {reservation.version} over in {self._refs.place} because it considered this one dead"
        )

    async def _find(self, version: Version) -> _Held | None:
        held = await self._reservations(await self._refs.read())
        return next((entry for entry in held if entry.version == version), None)

    async def _reservations(self, state: State) -> list[_Held]:
        start = f"refs/slipway/{self.prefix}"
        refs = {ref: revision for ref, revision in state.reservations.items() if ref.startswith(start)}
        found = versions_of_git_tags((ref.removeprefix("refs/slipway/") for ref in refs), self.prefix)
        named = {version: f"refs/slipway/{name}" for version, name in found.items()}
        texts = await self._refs.texts({ref: refs[ref] for ref in named.values()})
        held = []
        for version, ref in named.items():
            if ref in texts:
                note = Note.read(texts[ref])
                held.append(_Held(note.version if note is not None else version, refs[ref], note))
        return held

    def _note(self, version: Version, claim: Claim) -> Note:
        return Note.now(version, claim, self._ttl_s)

    def _ref(self, version: Version) -> str:
        # Without build metadata: versions that differ in it alone are one version (SemVer section 10).
        return f"refs/slipway/{self.prefix}{version.replace(build=None)}"


@dataclass(frozen=True, slots=True)
class _Held:
    """A reservation that was found. `note`: None if its text cannot be read."""

    version: Version
    revision: str
    note: Note | None

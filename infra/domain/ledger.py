"""The port through which versions are read, reserved and published, so that each is released once.

Two adapters: git (tags, and refs below `refs/slipway/` pushed on the condition that they do not exist) and registry
(the repository's tags, and markers of their own that are checked again after they were written). The same contract
tests run on both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from prefect_slipway.infra.domain.errors import VersionError
from prefect_slipway.infra.domain.version import Version


@dataclass(frozen=True, slots=True)
class Claim:
    """Who reserves a version, and for what.

    `run`: the flow run's id. `fingerprint`: identifies the source's content (a git revision, a checksum, a hash over a
    directory's entries): a rerun with the same fingerprint continues a dead run's reservation instead of burning a
    version. `digest`: of the pushed image, known once the build is done; of a set's images, each as IMAGE@DIGEST,
    divided by spaces.
    """

    run: str
    fingerprint: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A version that this run alone may release. `resumed`: taken over from a dead run of the same source."""

    version: Version
    claim: Claim
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """A released version. `revision`: of its source, a full commit id; None if it is not known."""

    version: Version
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A commit of one file. `ref`: the branch, or `HEAD` for the repository's default one. `path`: from the
    repository's root. `edit`: the new text from the old one, None if nothing has to change. `message`: of the commit.
    """

    ref: str
    path: str
    edit: Callable[[str], str | None]
    message: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is told with a version. `message`: of its git tag, "" for a tag without one. `changelog`: committed to the
    branch with the tag."""

    message: str = ""
    changelog: FileEdit | None = None


NOTHING_TOLD = Announcement()


def continues(
    left: Claim,
    version: Version,
    claim: Claim,
    choose: Callable[[Sequence[Version]], Version],
    taken: Sequence[Version],
    *,
    published: bool,
) -> bool:
    """Whether a run continues with the `version` that a dead run of the same source had reserved, and perhaps
    published.

    Only where it would choose that version too: now or, if its image was pushed already, at the time. `taken`: released
    and currently reserved versions. `published`: the version is public, and may be the dead run's.
    """
    if left.fingerprint != claim.fingerprint:
        return False
    # A dead run that had noted no image cannot have made its version public.
    if version in taken and not (published and left.digest is not None):
        return False
    known = taken if left.digest is None else [other for other in taken if other < version]
    try:
        return str(choose(known)) == str(version)
    except VersionError:
        return False


class VersionLedger(Protocol):
    """Where an image's versions are known. All methods raise the adapter's SourceError or RegistryError on trouble."""

    async def versions(self) -> Sequence[Version]:
        """All released versions, in no particular order; tags that are not versions are ignored."""
        ...

    async def reserve(self, claim: Claim, choose: Callable[[Sequence[Version]], Version]) -> Reservation:
        """Atomically reserve the version that `choose` picks from the taken ones.

        `choose` is called with released and currently reserved versions; when another run takes the chosen version in
        the same moment it is called again. What a dead run left for the same fingerprint is taken over (`resumed`, its
        digest in the claim); other leftovers of dead runs are dropped. Raises VersionReserved or VersionTaken when
        `choose` insists on a version that cannot be had.
        """
        ...

    async def note_digest(self, reservation: Reservation, digest: str) -> Reservation:
        """Remember the pushed image, so that a rerun after a crash finishes this image instead of building another."""
        ...

    async def keep(self, reservation: Reservation) -> None:
        """Renew the reservation: without renewals it counts as left behind after some time.

        Called now and then while the run lasts. Raises VersionReserved when another run has taken it over.
        """
        ...

    async def publish(self, reservation: Reservation, told: Announcement = NOTHING_TOLD) -> str:
        """The image is public under its version: record that for good. Safe to run twice. Returns why something of what
        should be told is not, "" if all is.

        The reservation stands until `give_back`: a run that dies before its end is then finished by its rerun, and
        not followed by another version.
        """
        ...

    async def give_back(self, reservation: Reservation) -> None:
        """End a reservation, unused or published, at the run's end. Safe to run twice."""
        ...

    async def leave(self, reservation: Reservation) -> None:
        """Stop with a partly public release: the next run for the same source resumes it. Safe to run twice."""
        ...

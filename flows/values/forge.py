"""A release on a forge, and its pull request: what is planned, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_slipway.infra.domain.forge_place import ForgePlace


@dataclass(frozen=True, slots=True)
class PlannedForge:
    """`tag`: git's; `revision`: the commit it names; `latest`: the version is the highest. `version`: the one to
    release, or where there is nothing to release the last one, whose release is completed."""

    place: ForgePlace
    tag: str
    version: str
    revision: str
    latest: bool = False

    @property
    def effect(self) -> str:
        """The change that the run will make."""
        return f"create or update the release {self.tag} of {self.place}, when the images are public"


@dataclass(frozen=True, slots=True)
class PlannedPullRequest:
    """A release pull request, whose merge into `base` approves the version. `files`: what it changes, from the
    repository's root: the changelog first."""

    place: ForgePlace
    base: str
    title: str
    version: str
    files: tuple[str, ...]

    @property
    def effect(self) -> str:
        """The change that the run will make."""
        what = f"the pull request `{self.title}` into {self.base} of {self.place}"
        return f"open or update {what}, and release nothing until it is merged"


@dataclass(frozen=True, slots=True)
class ForgeOutcome:
    """`page`: of the release or of its pull request, "" if it is not known; `did`: `created`, `updated`,
    `unchanged`, or "" where it failed; `warning`: what failed, and what to do."""

    page: str = ""
    did: str = ""
    warning: str = ""

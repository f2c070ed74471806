"""The version bump that a series of Conventional Commits requires.

The choices that the specification leaves open:

- `feat` asks for a minor version, `fix` and `perf` for a patch; `!` or a `BREAKING CHANGE:` line, with any
  type, for a major one. All other types (docs, test, chore ...) ask for nothing.
- Below 1.0.0 a breaking change asks for a minor version (SemVer section 4: anything may change at any time).
  Only an explicit `--bump major` leaves 0.y.z.
- In doubt a change is breaking, and the reason says because of which line: one that goes unnoticed is the worse
  mistake. So `BREAKING CHANGE:` counts in the body and in commits whose header is not conventional (merges), its text
  may begin on the next line (Angular's form), and near misses count (`breaking change:`, `feat!(api): x`).
- A revert of a commit of the same series cancels both; one of something released is a patch; one that names both does
  both. A revert of a merge cancels all that the merge brought in. Forges may name the pull request in place of the
  commit. A revert that names nothing is a patch.
- `Release-As: 2.0.0` as a trailer names the next version, as release-please has it. The newest one that is not reverted
  counts, until that version is released.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heappop, heappush

from prefect_slipway.infra.domain.conventional import (
    Reverted,
    breaking_sign,
    calls_itself_revert,
    release_as,
    reverted,
    type_of,
)
from prefect_slipway.infra.domain.errors import InvalidVersion, ReleaseAsRefused
from prefect_slipway.infra.domain.pull_requests import merged, squashed
from prefect_slipway.infra.domain.text import shortened
from prefect_slipway.infra.domain.version import Bump, Version, parse_version

_TYPES = {"feat": Bump.MINOR, "fix": Bump.PATCH, "perf": Bump.PATCH}
_SHOWN_COMMITS = 3
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its full id, its whole message, and its author's name."""

    revision: str
    message: str
    author: str = ""

    @property
    def subject(self) -> str:
        """The message's first line."""
        return self.message.strip().partition("\n")[0].rstrip()

    def __str__(self) -> str:
        return f"{self.revision[:8]} {shortened(self.subject, _SHOWN_CHARACTERS)}"


@dataclass(frozen=True, slots=True)
class Wish:
    """The bump that a commit requires. `note`: the reason, if the subject does not show it."""

    commit: Commit
    bump: Bump
    note: str = ""

    def __str__(self) -> str:
        return f"{self.commit} ({self.note})" if self.note else str(self.commit)


@dataclass(frozen=True, slots=True)
class Decision:
    """The bump that a series of commits requires.

    `bump`: None when there is nothing to release. `deciding`: those that ask for the highest bump, newest first.
    `reason`: a sentence for people. `named`: the newest commit that names the version (see `version_named`).
    """

    bump: Bump | None
    deciding: tuple[Wish, ...]
    reason: str
    named: Commit | None = None

    def version_named(self, released: Collection[Version], line: Iterable[Version]) -> Version | None:
        """The version that a trailer `Release-As:` names; None without one, and if it is `released` already.

        Raises ReleaseAsRefused unless it is a semantic version above all those of the `line`.
        """
        if self.named is None:
            return None
        text = str(release_as(self.named.message))
        try:
            version = parse_version(text.removeprefix("v"))
        except InvalidVersion as error:
            raise ReleaseAsRefused(f"the commit {self.named} says Release-As, but {error.cause}") from None
        if version in released:
            return None
        highest = max(line, default=None)
        if highest is not None and version < highest:
            raise ReleaseAsRefused(
                f"the commit {self.named} says Release-As: {version}, which is below {highest} in its history"
            )
        return version


def decide(
    commits: Sequence[Commit], *, current: Version | None, parents: Mapping[str, Sequence[str]] | None = None
) -> Decision:
    """The bump for `commits` after `current`, None before the first version.

    `commits`: each before its parents, as `git log --topo-order` lists them. `parents`: of every commit since
    `current`, also of those that do not touch the source, in the same order; they show what a reverted merge brought.
    """
    if not commits:
        return Decision(None, (), "no commits since the last version touch the source")
    left = list(not_reverted(commits, Since([commit.revision for commit in commits], parents or {})))
    named = next((one.commit for one in left if release_as(one.commit.message)), None)
    wishes = list(_wishes(left))
    for bump in (Bump.MAJOR, Bump.MINOR, Bump.PATCH):
        deciding = tuple(wish for wish in wishes if wish.bump is bump)
        if deciding:
            return replace(_decision(bump, deciding, current), named=named)
    count = "the one commit" if len(commits) == 1 else f"none of {len(commits)} commits"
    verb = "is no" if len(commits) == 1 else "is a"
    return Decision(None, (), f"{count} since the last version {verb} feature, fix or breaking change", named)


def _decision(bump: Bump, deciding: tuple[Wish, ...], current: Version | None) -> Decision:
    kind = {Bump.MAJOR: "breaking change", Bump.MINOR: "feature", Bump.PATCH: "fix"}[bump]
    note = ""
    if bump is Bump.MAJOR and (current is None or current.major == 0):
        bump, note = Bump.MINOR, " (a minor version below 1.0.0)"
    shown = "; ".join(str(wish) for wish in deciding[:_SHOWN_COMMITS])
    more = f"; and {len(deciding) - _SHOWN_COMMITS} more" if len(deciding) > _SHOWN_COMMITS else ""
    count = f"a {kind}" if len(deciding) == 1 else f"{len(deciding)} {kind}{'es' if kind == 'fix' else 's'}"
    return Decision(bump, deciding, f"{bump}, because of {count}{note}: {shown}{more}")


def _wishes(series: Iterable[Left]) -> Iterator[Wish]:
    for left in series:
        commit, type_ = left.commit, type_of(left.commit.message)
        if (sign := breaking_sign(commit.message)) is not None:
            yield Wish(commit, Bump.MAJOR, sign)
        elif type_ in _TYPES:
            yield Wish(commit, _TYPES[type_])
        elif left.released:
            yield Wish(commit, Bump.PATCH, f"reverts {left.released[0]}, which is released")
        elif not left.reverts and calls_itself_revert(commit.message):
            yield Wish(commit, Bump.PATCH)


@dataclass(frozen=True, slots=True)
class Left:
    """A commit that no later one reverts. `reverts`: it says that it reverts something; `released`: what of that is not
    in the series."""

    commit: Commit
    reverts: bool
    released: tuple[Reverted, ...]


def not_reverted(commits: Sequence[Commit], since: Since) -> Iterator[Left]:
    """Of a series, each before its parents. A revert that was itself reverted does nothing."""
    cancelled: set[str] = set()
    pulls: dict[str, list[str]] | None = None
    for commit in commits:
        if commit.revision in cancelled:
            continue
        reverts = reverted(commit.message)
        released = []
        for named in reverts:
            if named.pull:
                pulls = _by_pull(commits) if pulls is None else pulls
                found = pulls.get(named.pull, [])
            else:
                found = since.find(named.revision)
            if not found:
                released.append(named)
            for revision in found:
                cancelled.update(since.brought_by(revision, named.mainline))
        yield Left(commit, bool(reverts), tuple(released))


def _by_pull(commits: Sequence[Commit]) -> dict[str, list[str]]:
    """The commits that merge a pull request, or that one was squashed to, by its number."""
    found: dict[str, list[str]] = {}
    for commit in commits:
        merge = merged(commit.message)
        number = merge.number if merge is not None else squashed(commit.subject)[1]
        if number is not None:
            found.setdefault(number, []).append(commit.revision)
    return found


class Since:
    """What has come since the last version: `series`, the commits that touch the source, and the `parents` of all."""

    def __init__(self, series: Sequence[str], parents: Mapping[str, Sequence[str]]) -> None:
        self._series = series
        self._parents = parents

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted({*self._series, *self._parents})

    @cached_property
    def _names(self) -> list[str]:
        return list(self._parents)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {revision: place for place, revision in enumerate(self._names)}

    def find(self, beginning: str) -> list[str]:
        """The commits that a shortened id may mean."""
        found = []
        for place in range(bisect_left(self._sorted, beginning), len(self._sorted)):
            if not self._sorted[place].startswith(beginning):
                break
            found.append(self._sorted[place])
        return found

    def brought_by(self, revision: str, mainline: str | None) -> set[str]:
        """The commit itself and, of a merge, all that is in its history and not in that of its parent `mainline` (None:
        the first)."""
        parents = self._parents.get(revision, ())
        kept = next((parent for parent in parents if mainline and parent.startswith(mainline)), next(iter(parents), ""))
        return {revision, *self._reached([parent for parent in parents if parent != kept], kept)}

    def _reached(self, starts: Sequence[str], without: str) -> set[str]:
        """What is in the history of `starts`, but not in that of `without`; looked at as far back as these meet.

        A commit is taken from the heap after all of its children: by then it is known whose history it is in.
        """
        heap: list[int] = []
        waiting: dict[int, bool] = {}  # by place; False: in the history of `without`
        wanted: set[int] = set()

        def meet(revision: str, *, of_starts: bool) -> None:
            place = self._places.get(revision)
            if place is None:  # released
                return
            if place not in waiting:
                heappush(heap, place)
            waiting[place] = waiting.get(place, True) and of_starts
            (wanted.add if waiting[place] else wanted.discard)(place)

        for revision in starts:
            meet(revision, of_starts=True)
        meet(without, of_starts=False)
        reached = set()
        while wanted:
            place = heappop(heap)
            of_starts = waiting.pop(place)
            if of_starts:
                wanted.remove(place)
                reached.add(self._names[place])
            for parent in self._parents[self._names[place]]:
                meet(parent, of_starts=of_starts)
        return reached

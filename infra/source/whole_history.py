"""A history that is read once, for many parts of a repository that have versions of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from functools import cache

from prefect_slipway.infra.domain.commits import Commit
from prefect_slipway.infra.domain.patterns import matches
from prefect_slipway.infra.source.changed_files import ChangedFiles, changed_files
from prefect_slipway.infra.source.history import History, Series


class WholeHistory(History):
    """All commits that led to a revision. Git runs two or three times, however many parts there are: in the first of
    `includes` and `read`, and in `read`, which comes before `holds` and `parts`."""

    _parents: Mapping[str, Sequence[str]] | None = None

    async def includes(self, revisions: Collection[str]) -> Set[str]:
        known = await self._all()
        return {revision for revision in revisions if revision in known}

    async def read(self, starts: Iterable[str], *, from_the_beginning: bool = False) -> None:
        """Read the commits after each of `starts`, for which `since` may be asked. `from_the_beginning`: of those
        before as well what names a version, or takes that back; it is all that a first version depends on. Raises as
        `includes`."""
        parents = await self._all()
        self._bits = {revision: 1 << number for number, revision in enumerate(dict.fromkeys(starts))}
        self._within = within = {revision: self._bits.get(revision, 0) for revision in parents}
        for revision, found in parents.items():
            if bits := within[revision]:
                for parent in found:
                    within[parent] |= bits
        every = sum(self._bits.values())
        new = [revision for revision in parents if within[revision] & every != every]
        edge = {parent for each in new for parent in parents[each] if within[parent] & every == every}
        span = [self._revision, *(f"^{revision}" for revision in sorted(edge))]
        self._changes: list[ChangedFiles] = await changed_files(self._repository, span, self._remote) if new else []
        before = sorted(edge) if new else [self._revision]
        if from_the_beginning and before:
            self._changes += await changed_files(
                self._repository, before, self._remote, saying=("Release-As", "revert")
            )

    def holds(self, later: str, earlier: str) -> bool:
        """Whether `earlier` is, or led to, `later`, one of the `starts`."""
        return bool(self._within.get(earlier, 0) & self._bits[later])

    def parts(self, paths: Mapping[str, Sequence[str]]) -> dict[str, PartHistory]:
        """The history of each part. `paths`: by part, patterns of its files from the repository's top
        (`patterns.matches`)."""
        touched = touching(paths)
        commits: dict[str, list[Commit]] = {part: [] for part in paths}
        for commit, files in self._changes:
            for part in frozenset[str]().union(*map(touched, files)):
                commits[part].append(commit)
        return {part: PartHistory(self, found) for part, found in commits.items()}

    def series(self, start: str, commits: Sequence[Commit]) -> Series:
        """Those of `commits` that came after `start`."""
        bit, within = self._bits[start], self._within
        new = tuple(commit for commit in commits if not within[commit.revision] & bit)
        if not any("revert" in commit.message.lower() for commit in new):
            return Series(new, {})
        assert self._parents is not None, "it was read"
        return Series(new, {each: tuple(found) for each, found in self._parents.items() if not within[each] & bit})

    async def _all(self) -> Mapping[str, Sequence[str]]:
        """The parents of each commit, each before its own."""
        if self._parents is None:
            await self.complete()
            listed = await self._run("rev-list", "--topo-order", "--parents", self._revision)
            self._parents = {revision: found for revision, *found in (line.split() for line in listed.splitlines())}
        return self._parents


class PartHistory:
    """What led to a revision, of a part of the repository."""

    def __init__(self, whole: WholeHistory, commits: Sequence[Commit]) -> None:
        self._whole = whole
        self._commits = commits

    async def since(self, start: str | None) -> Series:
        """As of History; `start` was read."""
        return Series(tuple(self._commits), {}) if start is None else self._whole.series(start, self._commits)


def touching(paths: Mapping[str, Sequence[str]]) -> Callable[[str], frozenset[str]]:
    """Which parts a file belongs to. `paths`: as of WholeHistory.parts. Patterns of whole directories and of single
    files are looked up, because there may be hundreds of parts and as many thousands of files."""
    below: dict[str, set[str]] = {}
    others: list[tuple[str, str]] = []
    for part, patterns in paths.items():
        for pattern in patterns:
            place = "" if pattern == "**" else pattern.removesuffix("/**")
            if pattern.startswith("!"):
                continue
            if "*" in place or "?" in place:
                others.append((part, pattern))
            else:
                below.setdefault(place, set()).add(part)

    @cache
    def candidates(folder: str) -> frozenset[str]:
        found = frozenset(below.get(folder, ()))
        return found | candidates(folder.rpartition("/")[0]) if folder else found

    @cache
    def of(name: str) -> frozenset[str]:
        near = candidates(name).union(part for part, pattern in others if matches((pattern,), name))
        return frozenset(part for part in near if matches(paths[part], name))

    return of

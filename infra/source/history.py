"""The history in git: tags, the ancestors of a revision, and the commits since a release."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from prefect_slipway.infra.domain.changelog import is_changelog_commit
from prefect_slipway.infra.domain.commits import Commit
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import HistoryIncomplete
from prefect_slipway.infra.domain.patterns import matches
from prefect_slipway.infra.source.causes import git_error, run_git
from prefect_slipway.infra.source.changed_files import changed_files
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import FETCH, Remote, git
from prefect_slipway.infra.source.url import GitUrl

_NEEDS_PARENTS = re.compile(r"revert|pull request|merge request", re.IGNORECASE)


async def remote_of(
    repository: Path,
    name: str,
    credentials: CredentialSource | None,
    *,
    ca_file: Path | None = None,
    push: bool = False,
) -> Remote | None:
    """The remote that the repository knows as `name`, to fetch from or to `push` to; None if there is none."""
    answer = await git("remote", "get-url", *(["--push"] if push else []), "--", name, cwd=repository)
    if answer.status != 0:
        return None
    return Remote(GitUrl.parse(answer.out.strip(), base=repository), credentials, ca_file)


async def tags(source: Path | Remote) -> dict[str, str]:
    """The tags of a repository on this machine or of a remote one, each with the commit it names."""
    if isinstance(source, Remote):
        listed = await run_git(source.url.shown, "ls-remote", "--", source.url.text, "refs/tags/*", remote=source)
    else:
        answer = await git("show-ref", "--tags", "--dereference", cwd=source)
        if answer.status > 1 or answer.err:
            raise await git_error(str(source), answer)
        listed = answer.out
    return read_tags(listed)


def read_tags(listed: str) -> dict[str, str]:
    """Tags and commits from lines "id ref", where an annotated tag's commit follows as `ref^{}`."""
    found = {}
    for line in listed.splitlines():
        revision, _, ref = line.replace("\t", " ").partition(" ")
        if ref.startswith("refs/tags/"):
            found[ref.removeprefix("refs/tags/").removesuffix("^{}")] = revision
    return found


@dataclass(frozen=True, slots=True)
class Series:
    """Commits that touch the source, each before its parents. `parents`: of all commits since then, if one of `commits`
    reverts something or merges a pull request, else empty (see `prefect_slipway.infra.domain.commits.decide`)."""

    commits: tuple[Commit, ...]
    parents: Mapping[str, tuple[str, ...]]


class History:
    """What led to a checkout's revision. What is missing of it is fetched as soon as it is requested: for a fetched
    source without the contents of files, for a user's shallow clone completely.

    `remote`: where it can be completed from, None if nowhere. `paths`: patterns of the files that are the source's
    (`patterns.matches`), from the repository's top; empty: those below its directory. All methods raise
    HistoryIncomplete where it cannot be completed, and the SourceErrors of fetching.
    """

    def __init__(self, checkout: Checkout, remote: Remote | None, paths: Sequence[str] = ()) -> None:
        if checkout.repository is None or checkout.revision is None:
            raise ValueError("a history needs a checkout with a revision")
        self._revision = checkout.revision
        self._repository = checkout.repository
        self._subdirectory = checkout.subdirectory
        self._ours = checkout.temporary is not None
        self._remote = remote
        self._paths = tuple(paths)
        self._whole = False
        self._known: frozenset[str] | None = None

    @classmethod
    async def open(
        cls,
        checkout: Checkout,
        *,
        remote: str | None = None,
        credentials: CredentialSource | None = None,
        paths: Sequence[str] = (),
    ) -> Self:
        """The history of a checkout; it is completed from its `origin`, or from the remote of that name."""
        for name in ("origin", remote):
            if checkout.repository is not None and name is not None and name != "-":
                place = await remote_of(checkout.repository, name, credentials, ca_file=checkout.ca_file)
                if place is not None:
                    return cls(checkout, place, paths)
        return cls(checkout, None, paths)

    async def includes(self, revisions: Collection[str]) -> Set[str]:
        """Those of the commits that led to the revision, itself included. What is not a commit is none of them."""
        if not set(revisions) - {self._revision}:
            return set(revisions)
        if self._known is None:
            await self.complete()
            self._known = frozenset((await self._run("rev-list", self._revision)).split())
        return self._known.intersection(revisions)

    async def newest(self, revisions: Collection[str]) -> str:
        """Of commits in this history, one that is not an ancestor of the others."""
        if len(set(revisions)) == 1:
            return next(iter(revisions))
        return (await self._run("merge-base", "--independent", *revisions)).split()[0]

    async def since(self, start: str | None, *, most: int | None = None) -> Series:
        """The commits after `start`, one of this history, that touch the source, without those that only bring notes
        into the changelog; None: all. `most`: of these, the newest."""
        if start == self._revision:
            return Series((), {})
        await self.complete()
        span = self._revision if start is None else f"{start}..{self._revision}"
        found = await (self._touching_paths(span, most) if self._paths else self._touching_directory(span, most))
        commits = tuple(commit for commit in found if not is_changelog_commit(commit.message))
        if not any(_NEEDS_PARENTS.search(commit.message) for commit in commits):
            return Series(commits, {})
        listed = await self._run("rev-list", "--topo-order", "--parents", span)
        lines = (line.split() for line in listed.splitlines())
        return Series(commits, {revision: tuple(parents) for revision, *parents in lines})

    async def _touching_paths(self, span: str, most: int | None) -> tuple[Commit, ...]:
        changes = await changed_files(self._repository, [span], self._remote)
        touching = (commit for commit, files in changes if any(matches(self._paths, name) for name in files))
        return tuple(islice(touching, most))

    async def _touching_directory(self, span: str, most: int | None) -> tuple[Commit, ...]:
        paths = (self._subdirectory,) if self._subdirectory else ()
        limit = (f"--max-count={most}",) if most is not None else ()
        # Without --full-history git leaves out side branches that ended up without an effect.
        log = ("log", "--topo-order", "--full-history", "--no-color", "--no-notes", "-z", "--format=%H%n%aN%n%B")
        # What is not UTF-8 could be neither shown nor stored.
        listed = os.fsencode(await self._run(*log, *limit, span, "--", *paths)).decode(errors="replace")
        entries = (entry.split("\n", 2) for entry in listed.split("\0") if entry.strip())
        return tuple(Commit(revision, message, author) for revision, author, message in entries)

    async def tip(self) -> str:
        """The revision, or the newest commit before it that does more than to bring notes into the changelog."""
        log = ("log", "-z", "--first-parent", "--max-count=20", "--format=%H%n%B")
        for entry in (await self._run(*log, self._revision)).split("\0"):
            revision, _, message = entry.partition("\n")
            if revision and not is_changelog_commit(message):
                return revision
        return self._revision

    async def complete(self) -> None:
        """Fetch what is missing, if anything is."""
        if self._whole or not await self._is_shallow():
            self._whole = True
            return
        if self._remote is not None:
            await self._fetch_the_rest(self._remote)
            if not await self._is_shallow():
                self._whole = True
                return
        why = "it has no remote" if self._remote is None else f"its remote {self._remote.url.shown} is shallow as well"
        raise HistoryIncomplete(f"the history of {self._repository} is cut off (a shallow clone), and {why}")

    async def _fetch_the_rest(self, remote: Remote) -> None:
        # Cutting at a tag (--shallow-exclude) would be less, but cuts a merge off from its branch as well when that
        # began before the tag: commits would be overlooked.
        fetch = (*FETCH, "--no-write-fetch-head", "--unshallow")
        if not self._ours:
            # Git ties what it left out to a remote's name, which a user's repository is not to be marked with.
            await run_git(remote.url.shown, *fetch, remote.url.text, cwd=self._repository, remote=remote)
            return
        # Directories tell which commits touch a part of the repository. A server may know or allow fewer filters.
        for without in (
            ("--filter=blob:none",) if self._subdirectory or self._paths else ("--filter=tree:0", "--filter=blob:none")
        ):
            answer = await git(*fetch, without, "origin", cwd=self._repository, remote=remote)
            if answer.status == 0:
                return
            if "filter" not in answer.err:
                raise await git_error(remote.url.shown, answer)
        await run_git(remote.url.shown, *fetch, "--no-filter", "origin", cwd=self._repository, remote=remote)

    async def _is_shallow(self) -> bool:
        return (await self._run("rev-parse", "--is-shallow-repository")).strip() == "true"

    async def _run(self, *args: str) -> str:
        return await run_git(str(self._repository), *args, cwd=self._repository, remote=self._remote)

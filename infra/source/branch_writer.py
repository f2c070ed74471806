"""Commits on a branch of a remote repository, without a work tree.

Only the branch's newest commit is fetched, and of its files only those that are read (git-clone(1), "partial clone"),
as far as the server lets choose.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.infra.domain.errors import (
    BranchBusy,
    BranchRefused,
    ManifestInvalid,
    RefUnknown,
    SourceDenied,
    SourceMissing,
)
from prefect_slipway.infra.source.bare import first_fetch
from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.checkout import remove
from prefect_slipway.infra.source.command import FETCH, Remote
from prefect_slipway.infra.source.commits import Author, Commit, commit_files, entries
from prefect_slipway.infra.source.refs import Change, RefStore
from prefect_slipway.infra.source.url import check_ref
from prefect_slipway.infra.source.workdir import fetch_folder

MOST_FILES = 2000
MOST_BYTES = 64 << 20
"""Of the files that are read, together."""
_ATTEMPTS = 40
_PAUSE_S = 0.1
_TRACKING = "refs/remotes/origin/branch"
_OURS = "refs/remotes/origin/ours"
# Without telling what is here: a server takes a commit to be here with its files.
_ALL = ("-c", "fetch.negotiationAlgorithm=noop")


@dataclass(frozen=True, slots=True)
class Pushed:
    """`revision`: of the commit that holds what was wanted. `new`: whether it was written now. `attempts`: pushes."""

    revision: str
    branch: str
    new: bool
    attempts: int = 0


class RemoteBranch:
    """A branch as it was last fetched. All methods raise SourceErrors."""

    def __init__(self, folder: Path, remote: Remote, branch: str) -> None:
        self.remote = remote
        self.branch = branch
        self.revision = ""
        self._folder = folder
        self._refs = RefStore(folder, remote)

    @property
    def shown(self) -> str:
        return f"{self.remote.url.shown}, branch {self.branch}"

    async def fetch(self) -> str:
        """Its newest commit. Raises RefUnknown."""
        try:
            self.revision = await self._fetch(self.branch, _TRACKING)
        except RefUnknown as error:
            raise RefUnknown(
                f"{self.shown}: no such branch", action="check the branch's name, or create the branch"
            ) from error
        return self.revision

    async def files(
        self, path: str, reads: Callable[[str], bool] = lambda _: True, *, revision: str | None = None
    ) -> dict[str, str]:
        """The texts of the regular files at a path or below it, of those that `reads` chooses; bytes that are not UTF-8
        are surrogates. Raises SourceMissing without one, ManifestInvalid if they are too many or too large."""
        listed = await self._git("ls-tree", "-r", "-z", revision or self.revision, "--", *([path] if path else []))
        objects = {name: entry.id for name, entry in entries(listed).items() if entry.is_file and reads(name)}
        if not objects:
            raise SourceMissing(
                f"{self.shown} has no such file at {path or '/'}", action="check the path in the repository"
            )
        if len(objects) > MOST_FILES:
            raise ManifestInvalid(
                f"{self.shown} has more than {MOST_FILES} files at {path or '/'}", action="use a narrower path"
            )
        return dict(zip(objects, await self._contents(list(objects.values())), strict=True))

    async def commit(self, change: Commit, author: Author, *, parent: str | None = None) -> str:
        """Store a commit on top of the newest one and return its id. Nothing refers to it yet."""
        return await commit_files(self._folder, parent or self.revision, change, author, remote=self.remote)

    async def push(self, revision: str, branch: str, old: str | None) -> bool:
        """Move a branch from `old` (None: it must not exist) to a commit; False if it has moved. Raises
        BranchRefused."""
        try:
            return await self._refs.apply(Change(f"refs/heads/{branch}", old, revision))
        except SourceDenied as error:
            raise BranchRefused(f"branch {branch} of {error.cause}", details=error.details) from error

    async def other(self, branch: str) -> str | None:
        """The newest commit of another branch, None without one."""
        try:
            return await self._fetch(branch, _OURS)
        except RefUnknown:
            return None

    async def deepen(self, commits: int) -> None:
        """Fetch so many of the branch's commits, without their files."""
        await self._fetch(self.branch, _TRACKING, depth=commits)

    async def log(self, path: str, *args: str) -> str:
        """What `git log` says of the fetched commits that touch the path."""
        return await self._git("log", "--no-show-signature", *args, self.revision, "--", *([path] if path else []))

    async def message(self, revision: str) -> str:
        """Of a fetched commit."""
        return await self._git("show", "--no-show-signature", "-s", "--format=%B", revision)

    async def parent(self, revision: str) -> str | None:
        """None for the first commit, or the last that was fetched."""
        parents = (await self._git("show", "-s", "--format=%P", revision)).split()
        grafted = (self._folder / "shallow").is_file() and revision in (self._folder / "shallow").read_text(
            encoding="utf-8"
        ).split()
        return None if grafted or not parents else parents[0]

    async def _fetch(self, branch: str, to: str, *how: str, depth: int = 1) -> str:
        spec = f"+refs/heads/{branch}:{to}"
        await self._git(*FETCH, f"--depth={depth}", *(how or ("--filter=blob:none",)), "origin", spec)
        return (await self._git("rev-parse", "--verify", f"{to}^{{commit}}")).strip()

    async def _contents(self, blobs: Sequence[str]) -> list[str]:
        """Fetched together, where the server has left them out."""
        names = "".join(f"{blob}\n" for blob in blobs)
        listed = await self._git(
            "rev-list", "--objects", "--no-walk", "--missing=print", "--stdin", "--no-object-names", stdin=names
        )
        if missing := [line[1:] for line in listed.splitlines() if line.startswith("?")]:
            try:
                await self._git(*_ALL, *FETCH, "--no-write-fetch-head", "--filter=blob:none", "origin", *missing)
            except RefUnknown:
                # Servers may leave files out and not give them one by one, as over ssh with git's older protocol.
                await self._fetch(self.branch, _TRACKING, "--refetch", "--no-filter")
        sizes = await self._git("cat-file", "--batch-check=%(objectsize)", stdin=names)
        if sum(map(int, sizes.split())) > MOST_BYTES:
            raise ManifestInvalid(
                f"{self.shown}: the files are larger than {MOST_BYTES >> 20} MiB", action="use a narrower path"
            )
        raw = os.fsencode(await self._git("cat-file", "--batch=%(objectsize)", stdin=names))
        found, at = [], 0
        for _ in blobs:
            line = raw.index(b"\n", at)
            start, size = line + 1, int(raw[at:line])
            found.append(raw[start : start + size].decode(errors="surrogateescape"))
            at = start + size + 1
        return found

    async def _git(self, *args: str, stdin: str = "") -> str:
        return await run_git(self.shown, *args, cwd=self._folder, remote=self.remote, stdin=stdin)


@asynccontextmanager
async def remote_branch(remote: Remote, branch: str, workdir: Path) -> AsyncIterator[RemoteBranch]:
    """A branch, fetched into a new folder below `workdir`, which is removed at the end. Raises as `fetch_git`."""
    check_ref(branch)
    async with fetch_folder(workdir) as folder:
        repository = folder / "git"
        settings = {
            "remote.origin.url": remote.url.text,
            "remote.origin.promisor": "true",
            "remote.origin.partialclonefilter": "blob:none",
            "core.repositoryformatversion": "1",
            "extensions.partialClone": "origin",
        }
        opened = RemoteBranch(repository, remote, branch)
        try:
            await first_fetch(repository, settings, opened.fetch)
            yield opened
        finally:
            await asyncio.to_thread(remove, folder)


async def write_branch(
    branch: RemoteBranch,
    change: Callable[[RemoteBranch], Awaitable[Commit | None]],
    author: Author,
    *,
    to: str | None = None,
) -> Pushed:
    """Write a change, made again on each newest commit, so that what others push meanwhile stays. Where the change has
    nothing to change, nothing is written.

    `to`: a branch of its own for the commit, which is replaced if it exists and does not hold the change. Raises
    BranchBusy, BranchRefused, SourceErrors, and what `change` raises.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        if (wanted := await change(branch)) is None:
            return Pushed(branch.revision, branch.branch, new=False, attempts=attempt - 1)
        old = branch.revision if to is None else await branch.other(to)
        if to is not None and old is not None and await _holds(branch, old, wanted):
            return Pushed(old, to, new=False, attempts=attempt - 1)
        revision = await branch.commit(wanted, author)
        if await branch.push(revision, to or branch.branch, old):
            return Pushed(revision, to or branch.branch, new=True, attempts=attempt)
        await asyncio.sleep(random.uniform(0, _PAUSE_S * min(attempt, 20)))  # noqa: S311 (no secret)
        await branch.fetch()
    raise BranchBusy(f"{branch.shown}: others pushed at each of {_ATTEMPTS} attempts")


async def _holds(branch: RemoteBranch, revision: str, wanted: Commit) -> bool:
    """Whether another branch's commit has these files already."""
    try:
        there = [(await branch.files(name, revision=revision))[name] for name in wanted.files]
    except SourceMissing:
        return False
    return there == list(wanted.files.values())

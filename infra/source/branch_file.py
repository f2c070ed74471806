"""A file on a branch, changed by a commit that is pushed together with a tag.

The tag names the commit that was built; the new commit follows it on the branch. So the file never tells of a version
that is not public, and a tag never names a commit that nobody built.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.domain.ledger import FileEdit
from prefect_slipway.infra.source.branch import heads_of
from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.command import AS_STORED, FETCH, Remote, git
from prefect_slipway.infra.source.commits import Commit, Entry, commit_files, entries, file_at, places
from prefect_slipway.infra.source.refs import Change, RefStore

_MOST_BYTES = 4 << 20
_MOST_REFUSALS = 3


class BranchFile:
    """One edit of a file, tried until it is on the branch or cannot be: `warning` says why, "" if it is there.

    `revision`: the commit that the branch must contain.
    """

    def __init__(
        self, repository: Path, refs: RefStore, remote: Remote | None, edit: FileEdit | None, revision: str
    ) -> None:
        self._repository = repository
        self._refs = refs
        self._remote = remote
        self._edit = edit
        self._revision = revision
        self._last: Change | None = None
        self._refused = 0
        self._checked_out = False
        self.warning = ""

    def give_up(self, why: str) -> None:
        assert self._edit is not None, "nothing is given up that was not asked for"
        self.warning = f"{self._edit.path} does not have the notes of this release: {why}"
        self._edit = None

    async def next_change(self) -> Change | None:
        """What to change on the branch as it is now: None if nothing (any more)."""
        if self._edit is None:
            return None
        try:
            change = await self._change(self._edit)
        except SourceError as error:
            self.give_up(error.cause)
            return None
        if change is not None and self._last is not None and change.old == self._last.old:
            self._refused += 1  # nobody was faster: the branch takes no pushes, without saying so
            if self._refused == _MOST_REFUSALS:
                self.give_up(f"{self._refs.place} does not let {change.ref} move")
                return None
        self._last = change
        return change

    async def arrive(self) -> None:
        """The change is made: a work tree with this branch checked out gets it, too."""
        if self._edit is None or self._last is None or not self._checked_out:
            return
        try:
            await self._run("read-tree", "-m", "-u", str(self._last.old), str(self._last.new))
        except SourceError as error:
            path = shlex.quote(self._edit.path)
            self.warning = (
                f"{self._edit.path} has the notes on {self._last.ref}, and not yet in this work tree: {error.cause}; "
                f"run `git restore --source=HEAD --staged --worktree -- {path}` there"
            )

    async def _is_checked_out(self, ref: str) -> bool:
        """Whether this work tree has the branch checked out. Raises SourceError if another one has it."""
        if self._remote is not None or (await self._run("rev-parse", "--is-bare-repository")).strip() == "true":
            return False
        where = (await self._run("for-each-ref", "--format=%(worktreepath)", ref)).removesuffix("\n")
        if where and Path(where) != self._repository:
            raise SourceError(f"{ref} is checked out in {where}")
        return bool(where)

    async def _change(self, edit: FileEdit) -> Change | None:
        ref, head = await self._head(edit.ref)
        if head != self._revision:
            if self._remote is not None:
                await self._run(*FETCH, "--no-write-fetch-head", "--", self._remote.url.text, ref)
            inside = await git(
                "merge-base", "--is-ancestor", self._revision, head, cwd=self._repository, remote=self._remote
            )
            if inside.status != 0:
                raise SourceError(f"{ref} of {self._refs.place} does not contain the released commit")
        self._checked_out = await self._is_checked_out(ref)
        if self._checked_out:
            unchanged = await git("diff-index", "--quiet", head, "--", edit.path, cwd=self._repository)
            if unchanged.status != 0:
                raise SourceError(f"{edit.path} has uncommitted changes")
        listed = await self._run("ls-tree", "-z", head, "--", *places(edit.path))
        there = file_at(entries(listed), edit.path)
        if self._checked_out and there is None and await self._run("ls-files", "--others", "--", edit.path):
            raise SourceError(f"{edit.path} is not committed")
        old = await self._read(there, edit.path) if there is not None else ""
        new = edit.edit(old)
        if new is None or new == old:
            return None
        change = Commit({edit.path: new}, edit.message)
        return Change(ref, head, await commit_files(self._repository, head, change, remote=self._remote))

    async def _head(self, ref: str) -> tuple[str, str]:
        """The branch's whole name and its commit. Raises SourceError if there is none."""
        default, heads = await heads_of(self._repository, self._remote)
        name = default if ref == "HEAD" else ref.removeprefix("refs/heads/")
        if name not in heads:
            raise SourceError(f"{name or 'a detached HEAD'} is not a branch of {self._refs.place}")
        return f"refs/heads/{name}", heads[name]

    async def _read(self, file: Entry, path: str) -> str:
        size = int(await self._run("cat-file", "-s", file.id))
        if size > _MOST_BYTES:
            raise SourceError(f"{path} has {size} bytes; the limit is {_MOST_BYTES}")
        text = await self._run("cat-file", "blob", file.id)
        if "\0" in text:
            raise SourceError(f"{path} is not a text in UTF-8")
        return text

    async def _run(self, *args: str) -> str:
        return await run_git(self._refs.place, AS_STORED, *args, cwd=self._repository, remote=self._remote)

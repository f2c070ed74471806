"""A file on a branch, changed by a commit that is pushed together with a tag.

The tag names the commit that was built; the new commit follows it on the branch. So the file never tells of a version
that is not public, and a tag never names a commit that nobody built.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.domain.ledger import FileEdit
from prefect_slipway.infra.source.branch import heads_of
from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.command import FETCH, Remote, git
from prefect_slipway.infra.source.refs import Change, RefStore

_MOST_BYTES = 4 << 20
_MOST_REFUSALS = 3
_FILES = {"100644", "100755"}


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
        if self._checked_out and self._last is not None and not self.warning:
            await self._run("read-tree", "-m", "-u", str(self._last.old), str(self._last.new))

    async def _is_checked_out(self, ref: str) -> bool:
        if self._remote is not None:
            return False
        bare = (await self._run("rev-parse", "--is-bare-repository")).strip() == "true"
        return not bare and (await git("symbolic-ref", "--quiet", "HEAD", cwd=self._repository)).out.strip() == ref

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
        trees, blob = await self._find(f"{head}^{{tree}}", PurePosixPath(edit.path))
        old = await self._read(blob, edit.path) if blob is not None else ""
        new = edit.edit(old)
        if new is None or new == old:
            return None
        mode = blob[0] if blob is not None else "100644"
        written = (await self._run("hash-object", "-w", "--stdin", stdin=new)).strip()
        entry = f"{mode} blob {written}\t{PurePosixPath(edit.path).name}"
        for listed, name in reversed(trees):
            kept = [line for line in listed if line.partition("\t")[2] != entry.partition("\t")[2]]
            tree = await self._run("mktree", "-z", "--missing", stdin="".join(f"{line}\0" for line in [*kept, entry]))
            entry = f"040000 tree {tree.strip()}\t{name}"
        return Change(ref, head, await self._refs.store(edit.message, tree=tree.strip(), parent=head))

    async def _head(self, ref: str) -> tuple[str, str]:
        """The branch's whole name and its commit. Raises SourceError if there is none."""
        default, heads = await heads_of(self._repository, self._remote)
        name = default if ref == "HEAD" else ref.removeprefix("refs/heads/")
        if name not in heads:
            raise SourceError(f"{name or 'a detached HEAD'} is not a branch of {self._refs.place}")
        return f"refs/heads/{name}", heads[name]

    async def _find(self, tree: str, path: PurePosixPath) -> tuple[list[tuple[list[str], str]], tuple[str, str] | None]:
        """The entries of each folder on the way, the root first, with the folder's name; the file's mode and id."""
        trees: list[tuple[list[str], str]] = []
        here: str | None = tree
        name = ""
        for part in path.parts:
            listed = (await self._run("ls-tree", "-z", here)).split("\0") if here is not None else []
            entries = [line for line in listed if line]
            trees.append((entries, name))
            found = next((line.split("\t")[0].split(" ") for line in entries if line.partition("\t")[2] == part), None)
            last = part is path.parts[-1]
            if found is not None and (found[1] != ("blob" if last else "tree") or (last and found[0] not in _FILES)):
                raise SourceError(f"{path} leads through something that is not a {'file' if last else 'folder'}")
            if last:
                return trees, (found[0], found[2]) if found is not None else None
            here, name = (found[2] if found is not None else None), part
        raise SourceError(f"{path} is not the name of a file")

    async def _read(self, blob: tuple[str, str], path: str) -> str:
        size = int(await self._run("cat-file", "-s", blob[1]))
        if size > _MOST_BYTES:
            raise SourceError(f"{path} has {size} bytes; the limit is {_MOST_BYTES}")
        return await self._run("cat-file", "blob", blob[1])

    async def _run(self, *args: str, stdin: str = "") -> str:
        return await run_git(self._refs.place, *args, cwd=self._repository, remote=self._remote, stdin=stdin)

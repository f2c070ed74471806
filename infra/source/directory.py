"""A directory on this machine as the source: as it is, with its git revision if it is in a work tree."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prefect_slipway.infra.domain.errors import (
    DirtyTree,
    InvalidOption,
    PartMissing,
    SourceDenied,
    SourceError,
    SourceMissing,
)
from prefect_slipway.infra.domain.text import with_rest
from prefect_slipway.infra.source.causes import git_error, run_git
from prefect_slipway.infra.source.changes import SKIPPED, changes
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import AS_STORED, Answer, git
from prefect_slipway.infra.source.lfs import check_no_pointers
from prefect_slipway.infra.source.limits import unusable
from prefect_slipway.infra.source.url import GitUrl
from prefect_slipway.infra.source.workdir import in_thread

_SHOWN_CHANGES = 10
_WHOLE = "check these files out (`git sparse-checkout disable`), release the repository's URL, or add --allow-dirty"
# A folder that looks like a repository without a work tree is one that came with the files: its configuration, which
# may name programs and a work tree, is not the user's (git-config(1), safe.bareRepository).
_NO_WORK_TREE = ("not a git repository", "must be run in a work tree", "cannot use bare repository")
_NO_BARE = {"safe.bareRepository": "explicit"}


async def open_directory(path: Path, *, allow_dirty: bool) -> Checkout:
    """Open a directory as the source.

    In a git work tree its revision is HEAD, and what is not committed below `path` (see `changes`) makes it dirty.
    A directory that git ignores counts as one outside of git. Raises SourceMissing,
    SourceDenied, DirtyTree unless `allow_dirty`, PartMissing when git is needed and not installed.
    """
    path = existing_directory(path)
    tree = await _work_tree(path)
    if tree is None:
        return Checkout(path, path.name, await _fingerprint(path))
    changed = await changes(path)
    if changed and not allow_dirty:
        raise _dirty(path, tree, changed)
    await check_no_pointers(tree.top, tree.subdirectory, os.environ)
    clean = tree.revision is not None and not changed
    return Checkout(
        path=path,
        name=path.name,
        fingerprint=f"git:{tree.revision}:{tree.subdirectory}" if clean else await _fingerprint(path),
        revision=tree.revision,
        source_url=await _source_url(tree.top),
        committed_at=tree.committed_at,
        dirty=bool(changed),
        repository=tree.top,
        subdirectory=tree.subdirectory,
    )


async def repository_at(path: Path) -> Checkout:
    """A directory in a git work tree, to read its history: its files are not looked at, so `fingerprint` is "". Raises
    SourceMissing, SourceDenied, PartMissing."""
    path = existing_directory(path)
    tree = await _work_tree(path)
    if tree is None or tree.revision is None:
        raise SourceMissing(f"{path} is not in a git repository with a commit")
    return Checkout(
        path=path,
        name=path.name,
        fingerprint="",
        revision=tree.revision,
        source_url=await _source_url(tree.top),
        repository=tree.top,
        subdirectory=tree.subdirectory,
    )


def existing_directory(path: Path) -> Path:
    """Its absolute path. Raises SourceMissing."""
    if not path.is_dir():
        raise SourceMissing(f"{path} {'is not a directory' if path.exists() else 'does not exist'}")
    return path.resolve()


@dataclass(frozen=True, slots=True)
class _WorkTree:
    """`revision`, `committed_at`: of HEAD, None before the first commit."""

    top: Path
    subdirectory: str
    revision: str | None
    committed_at: int | None


async def _work_tree(path: Path) -> _WorkTree | None:
    try:
        answer = await git("rev-parse", "--is-inside-work-tree", "--show-prefix", cwd=path, config=_NO_BARE)
    except PartMissing:
        if any((parent / ".git").exists() for parent in (path, *path.parents)):
            raise
        return None
    if answer.status != 0:
        if any(words in answer.err for words in _NO_WORK_TREE):
            return None
        raise await git_error(str(path), answer)
    # What a folder is called may hold a line break.
    inside, _, prefix = answer.out.removesuffix("\n").partition("\n")
    if inside != "true":
        return None
    top = path
    for _ in PurePosixPath(prefix).parts:
        top = top.parent
    listed = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", prefix)
    if prefix and not await run_git(str(path), *listed, cwd=top):
        return None  # all of it is ignored
    head = await git(AS_STORED, "log", "-1", "--format=%H %ct", "HEAD", "--", cwd=path)
    if head.status == 0:
        revision, committed_at = head.out.split()
        return _WorkTree(top, prefix.rstrip("/"), revision, int(committed_at))
    if _is_unborn(head):
        return _WorkTree(top, prefix.rstrip("/"), None, None)
    raise await git_error(str(path), head)


def _is_unborn(answer: Answer) -> bool:
    return "bad revision 'HEAD'" in answer.err or "does not have any commits yet" in answer.err


def _dirty(path: Path, tree: _WorkTree, changed: list[str]) -> DirtyTree:
    shown = [os.fsencode(change).decode(errors="replace") for change in changed[:_SHOWN_CHANGES]]
    details = "\n".join(f"  {change}" for change in with_rest(shown, len(changed)))
    if tree.revision is None:
        return DirtyTree(f"nothing is committed yet in {tree.top}", details=details)
    count = "1 uncommitted change" if len(changed) == 1 else f"{len(changed)} uncommitted changes"
    # All of them are left out of the work tree, most likely, and there is nothing to commit.
    sparse = all(change.endswith(f"({SKIPPED})") for change in changed)
    return DirtyTree(f"{path} has {count}", action=_WHOLE if sparse else None, details=details)


async def _source_url(top: Path) -> str | None:
    answer = await git("remote", "get-url", "origin", cwd=top)
    if answer.status != 0:
        return None
    try:
        return GitUrl.parse(answer.out.strip(), base=top).label
    except InvalidOption:
        return None  # an address only this machine understands: nothing for a label


async def _fingerprint(path: Path) -> str:
    return f"tree:{await in_thread(lambda check: _hash_entries(path, check))}"


def _hash_entries(root: Path, check: Callable[[], None]) -> str:
    """A hash over names, types, modes, sizes, times and link targets: quick, and another after a change."""
    digest = hashlib.sha256()
    for entry in _entries(root):
        check()
        facts = entry.stat(follow_symlinks=False)
        target = str(Path(entry.path).readlink()) if entry.is_symlink() else ""
        times = "" if entry.is_dir(follow_symlinks=False) else f"{facts.st_size} {facts.st_mtime_ns}"
        line = f"{os.path.relpath(entry.path, root)}\0{facts.st_mode:o}\0{times}\0{target}\0"
        digest.update(os.fsencode(line))
    return digest.hexdigest()


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    """All of a tree, a folder before what is in it. Not recursive: a tree may be deeper than Python's stack."""
    waiting = [_listed(root)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif entry.name != ".git":  # changes with every git command, and is not what is released
            yield entry
            if entry.is_dir(follow_symlinks=False):
                if wrong := unusable(os.path.relpath(entry.path, root)):
                    raise SourceError(f"{root} contains {wrong}", action="remove it, or use a directory without it")
                waiting.append(_listed(entry.path))


def _listed(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return iter(sorted(found, key=lambda entry: entry.name))
    except PermissionError as error:
        raise SourceDenied(
            f"you have no permission to read {folder}", action="run as a user who can read the source"
        ) from error

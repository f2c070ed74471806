"""Find uncommitted changes in a work tree, including files that git was told to ignore."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.command import AS_STORED

_STATUS = (
    *(AS_STORED, "status", "--porcelain=v1", "-z"),
    *("--untracked-files=no", "--ignore-submodules=none", "--no-renames"),
)
_UNTRACKED = ("ls-files", "--others", "--directory", "--no-empty-directory", "-z")
SKIPPED = "skip-worktree"
"""How a change is marked to a file that git is told to leave out, as in a sparse checkout (git-sparse-checkout(1))."""
_GITLINK = "160000"


async def changes(path: Path) -> list[str]:
    """Paths below `path` that differ from HEAD, submodules and untracked files included, for people.

    What the repository itself ignores (.gitignore) is left out. What this clone alone is told to overlook is not, since
    another clone of the same commit would have it otherwise, or not have it at all: files marked assume-unchanged or
    skip-worktree (git-update-index(1)), those of an object in the place of another one (git-replace(1)), and those that
    .git/info/exclude and core.excludesFile name (gitignore(5)).
    """
    overlooked: dict[str, str] = {}
    submodules: list[str] = []
    for entry in _split(await run_git(str(path), "ls-files", "-v", "-s", "-z", "--", ".", cwd=path)):
        facts, _, name = entry.partition("\t")
        flag, mode, *_ = facts.split(" ")
        if mode == _GITLINK:
            submodules.append(name)
        if flag.islower():
            overlooked[name] = "assume-unchanged"
        elif flag == "S":
            overlooked[name] = SKIPPED
    found = await _tracked(path, overlooked) + await _untracked(path)
    for name in submodules:
        if (path / name / ".git").exists() and name not in found:
            found += [f"{name}/{inside}" for inside in await changes(path / name)]
    return [f"{name} ({overlooked[name]})" if name in overlooked else name for name in found]


async def _tracked(path: Path, overlooked: Iterable[str]) -> list[str]:
    names = "".join(f"{name}\0" for name in overlooked)
    if not names:
        return await _differing(path, None)
    with tempfile.TemporaryDirectory(prefix="slipway-index-") as folder:
        # A copy without the marks: what belongs to the user is not written to.
        index = Path(folder, "index")
        place = (await run_git(str(path), "rev-parse", "--git-path", "index", cwd=path)).removesuffix("\n")
        # With its time: git looks into a file that changed in the second in which the index was written.
        shutil.copy2(path / place, index)
        for mark in ("--no-assume-unchanged", "--no-skip-worktree"):
            await run_git(str(path), "update-index", "-z", mark, "--stdin", cwd=path, stdin=names, index=index)
        return await _differing(path, index)


async def _differing(path: Path, index: Path | None) -> list[str]:
    found = _split(await run_git(str(path), *_STATUS, "--", ".", cwd=path, index=index))
    if not found:
        return []
    top = (await run_git(str(path), "rev-parse", "--show-prefix", cwd=path)).removesuffix("\n")
    return [entry[3:].removeprefix(top) for entry in found]


async def _untracked(path: Path) -> list[str]:
    found = _split(await run_git(str(path), *_UNTRACKED, "--exclude-per-directory=.gitignore", "--", ".", cwd=path))
    if not found:
        return []
    shown = set(_split(await run_git(str(path), *_UNTRACKED, "--exclude-standard", "--", ".", cwd=path)))
    return [name if name in shown else f"{name} (ignored only in this clone)" for name in found]


def _split(listed: str) -> list[str]:
    return [entry for entry in listed.split("\0") if entry]

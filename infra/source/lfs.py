"""Files that a repository keeps in Git LFS: git itself has pointers to them only.

Formats: docs/spec.md (git-lfs), "The Pointer"; the filter as `git lfs install` sets it up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect_slipway.infra.domain.errors import LfsFilesMissing
from prefect_slipway.infra.source.command import streamed

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_SHOWN = 3
_LONGEST = 1 << 20  # of a .gitattributes
_TRUE = {"true", "1", "on", "yes", "t"}  # config/environment.go (git-lfs), `Bool`


def lfs_settings(env: Mapping[str, str], *, local: bool) -> dict[str, str]:
    """Settings (git-config(1)) by which a checkout brings the files themselves, whatever this user's settings are; git
    then fails if git-lfs is missing. With GIT_LFS_SKIP_SMUDGE it brings pointers, as git-lfs does.

    `local`: the repository is on this machine, and so may its files be. The `.lfsconfig` of another one may name a
    repository of this machine as well, which it does not get.
    """
    wanted = not _skips(env)
    return ({} if local else {"lfs.standaloneTransferAgent": ""}) | {
        "filter.lfs.process": "git-lfs filter-process" if wanted else "",
        "filter.lfs.smudge": "git-lfs smudge -- %f" if wanted else "",
        "filter.lfs.required": "true" if wanted else "false",
        # The repository's .lfsconfig may set it.
        "lfs.skipDownloadErrors": "false",
    }


async def check_no_pointers(top: Path, subdirectory: str, env: Mapping[str, str]) -> None:
    """Raises LfsFilesMissing for pointers in a work tree below `subdirectory`, where GIT_LFS_SKIP_SMUDGE is not set."""
    if _skips(env):
        return
    # gitglossary(7), "pathspec".
    async with streamed("ls-files", "-z", "--", f":(literal,attr:filter=lfs){subdirectory}", cwd=top) as kept:
        pointers = [name async for name in kept if _is_pointer(top / name)]
    if pointers:
        raise LfsFilesMissing(f"{top} has LFS pointers in place of files: {some_of(pointers)}")


def archived_pointers(path: Path, root: Path, env: Mapping[str, str]) -> list[str]:
    """Pointers below `path` in a tree outside of git, relative to it; none where GIT_LFS_SKIP_SMUDGE is set. `root` has
    the `.gitattributes`. A repository's setting decides whether its forge makes archives of pointers or of files."""
    attributes = root / ".gitattributes"
    if _skips(env) or attributes.is_symlink() or not attributes.is_file():
        return []
    with attributes.open("rb") as file:
        if b"filter=lfs" not in file.read(_LONGEST):
            return []
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sorted(str(file.relative_to(path)) for file in below if not file.is_symlink() and _is_pointer(file))


def some_of(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - _SHOWN
    shown = ", ".join(os.fsencode(name).decode(errors="replace") for name in names[:_SHOWN])
    return shown + (f" and {more} more" if more > 0 else "")


def _skips(env: Mapping[str, str]) -> bool:
    return env.get("GIT_LFS_SKIP_SMUDGE", "").lower() in _TRUE


def _is_pointer(path: Path) -> bool:
    try:
        if not path.is_file():  # not checked out, or something in its place: `changes` tells
            return False
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:  # the build tells
        return False

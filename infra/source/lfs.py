"""Files that a repository keeps in Git LFS: git itself has pointers to them only.

Formats: docs/spec.md (git-lfs), "The Pointer"; the filter as `git lfs install` sets it up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.domain.errors import LfsFilesMissing
from prefect_slipway.infra.source.command import streamed

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_SHOWN = 3
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
        more = len(pointers) - _SHOWN
        some = ", ".join(os.fsencode(name).decode(errors="replace") for name in pointers[:_SHOWN])
        raise LfsFilesMissing(f"{top} has LFS pointers in place of files: {some}" + f" and {more} more" * (more > 0))


def _skips(env: Mapping[str, str]) -> bool:
    return env.get("GIT_LFS_SKIP_SMUDGE", "").lower() in _TRUE


def _is_pointer(path: Path) -> bool:
    if not path.is_file():  # not checked out, or something in its place: `changes` tells
        return False
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER

"""Files that a repository keeps in Git LFS: git itself has pointers to them only.

Formats: docs/spec.md (git-lfs), "The Pointer"; the filter as `git lfs install` sets it up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.domain.errors import LfsFilesMissing
from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.command import streamed

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LONGEST_ATTRIBUTES = 100 << 20  # attr.h (git), ATTR_MAX_FILE_SIZE
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
    below = f"{subdirectory}/" if subdirectory else ""
    tracked, uses_lfs = [], False
    async with streamed("ls-files", "-z", cwd=top) as paths:
        async for path in paths:
            if path.startswith(below):
                tracked.append(path)
            if path == ".gitattributes" or path.endswith("/.gitattributes"):
                uses_lfs = uses_lfs or b"filter=lfs" in _head(top / path, _LONGEST_ATTRIBUTES)
    if not uses_lfs:
        return
    told = await run_git(str(top), "check-attr", "-z", "--stdin", "filter", cwd=top, stdin="\0".join(tracked))
    fields = told.split("\0")
    kept = [path for path, value in zip(fields[::3], fields[2::3], strict=False) if value == "lfs"]
    pointers = [path for path in kept if _head(top / path, len(_POINTER)) == _POINTER]
    if pointers:
        more = len(pointers) - _SHOWN
        some = ", ".join(os.fsencode(path).decode(errors="replace") for path in pointers[:_SHOWN])
        raise LfsFilesMissing(f"{top} has LFS pointers in place of files: {some}" + f" and {more} more" * (more > 0))


def _skips(env: Mapping[str, str]) -> bool:
    return env.get("GIT_LFS_SKIP_SMUDGE", "").lower() in _TRUE


def _head(path: Path, size: int) -> bytes:
    if not path.is_file():  # not checked out, or something in its place: `changes` tells
        return b""
    with path.open("rb") as file:
        return file.read(size)

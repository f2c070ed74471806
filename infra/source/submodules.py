"""Submodules of a source that nobody fetched: empty folders, which git takes for clean."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

_PATH = re.compile(r"^[ \t]*path[ \t]*=(.*)$", re.MULTILINE)
_LONGEST = 1 << 20


def empty_submodules(path: Path, root: Path) -> tuple[str, ...]:
    """The submodules below `path` that are empty, relative to it. `root`: of the repository, whose `.gitmodules`
    (gitmodules(5)) names them."""
    file = root / ".gitmodules"
    if file.is_symlink() or not file.is_file():
        return ()
    with file.open(encoding="utf-8", errors="replace") as opened:
        names = [name.strip() for name in _PATH.findall(opened.read(_LONGEST))]
    named = {root / name for name in names if name and ".." not in PurePosixPath(name).parts}
    inside = sorted(folder for folder in named if folder != path and folder.is_relative_to(path))
    return tuple(str(folder.relative_to(path)) for folder in inside if _is_empty(folder))


def _is_empty(folder: Path) -> bool:
    try:
        return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    except (OSError, ValueError):  # no name that a file can have, or nothing to look into
        return False

"""Remove a directory tree made by others: of any depth and with any modes, without recursion."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it; one that is gone already is fine. Raises OSError.

    Folders are moved to the top before they are emptied, so that neither the depth of a tree nor the length of its
    paths counts (PATH_MAX is a limit of what the kernel is given, not of what there can be).
    """
    try:
        _let_in(path)
        top = os.open(path, _FOLDER)
    except FileNotFoundError:
        return
    try:
        remove_content(top)
    finally:
        os.close(top)
    path.rmdir()


def remove_content(top: int) -> None:
    """Empty the directory that is open as `top`. Raises OSError."""
    prefix = f".{secrets.token_hex(8)}-"
    moved = 0
    while folders := _unlink_files(top):
        for name in folders:
            _let_in(name, top)
            inner = os.open(name, _FOLDER, dir_fd=top)
            try:
                for below in _unlink_files(inner):
                    # To be moved a folder has to be writable itself: its `..` changes.
                    _let_in(below, inner)
                    os.rename(below, f"{prefix}{moved}", src_dir_fd=inner, dst_dir_fd=top)
                    moved += 1
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)


def _unlink_files(folder: int) -> list[str]:
    """Unlink what is not a folder; the names of the folders."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in found if is_folder]


def _let_in(name: str | Path, parent: int | None = None) -> None:
    """Let its owner read, write and enter a folder."""
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, stat.S_IRWXU, dir_fd=parent)

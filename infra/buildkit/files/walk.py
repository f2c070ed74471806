"""The files of a build context in the order and form that tonistiigi/fsutil sends them.

Order: filepath.WalkDir's, a directory before what it holds, names sorted bytewise. Filter: fsutil's `filter.go` (a
directory that is not picked itself is sent as soon as something below it is). Stat: fsutil's `stat.go`,
`stat_unix.go`. Symlinks that a Dockerfile names are followed as in `followlinks.go`.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from prefect_slipway.infra.buildkit.files.ignore import PatternList
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Stat
from prefect_slipway.infra.domain.errors import ContextError

# Go's os.FileMode bits (package io/fs).
_GO_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
}
_KNOWN_TO_GIT = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
_GO_TYPE_BITS = 1 << 31 | 1 << 27 | 1 << 26 | 1 << 25 | 1 << 21
_GO_SETUID, _GO_SETGID, _GO_STICKY = 1 << 23, 1 << 22, 1 << 20


class Selection(NamedTuple):
    """The daemon's selection of a directory: pattern lists as its metadata carries them, "" or missing: everything.

    `git_modes`: it gets the modes that git knows, instead of those that a umask gave a checkout, and no links between
    files, pipes, sockets and devices, which git does not know. `no_empty`: nor folders without a file.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()
    git_modes: bool = False
    no_empty: bool = False


class _Folder:
    """A directory on the way down. `path`: from the root. `include`/`exclude`: what each pattern said of it. `picked`:
    by these; `sent`: it itself, not only what is in it."""

    __slots__ = ("exclude", "include", "names", "path", "picked", "sent", "status")

    def __init__(self, path: bytes, status: os.stat_result, names: Iterator[bytes]) -> None:
        self.path = path
        self.status = status
        self.include: tuple[bool, ...] | None = None
        self.exclude: tuple[bool, ...] | None = None
        self.picked = self.sent = True
        self.names = names


def has_content(mode: int) -> bool:
    """Whether a Stat with this Go file mode is a regular file, whose data the daemon may ask for."""
    return mode & _GO_TYPE_BITS == 0


def walk(root: Path, selection: Selection) -> Iterator[Stat]:
    """Every Stat of `root` that `selection` picks.

    Raises ContextError when something that is picked cannot be read, PatternError for a bad pattern.
    """
    return _Walk(os.path.realpath(os.fsencode(root)), selection).stats()


class _Walk:
    def __init__(self, root: bytes, selection: Selection) -> None:
        self._root = root
        include = list(selection.include)
        if selection.follow and (targets := follow_links(root, selection.follow)) is not None:
            include = _without_nested([*include, *targets]) or []
        self._include = PatternList(include) if include else None
        self._exclude = PatternList(selection.exclude) if selection.exclude else None
        self._include_fixed = self._include is not None and self._include.all_fixed(negative=False)
        self._exclude_fixed = self._exclude is not None and self._exclude.all_fixed(negative=True)
        self._first_names: dict[tuple[int, int], bytes] = {}
        self._git_modes = selection.git_modes
        self._no_empty = selection.no_empty

    def stats(self) -> Iterator[Stat]:
        try:
            top = iter(sorted(os.listdir(self._root)))
            status = os.lstat(self._root)
        except OSError as error:
            raise _unreadable(self._root, error) from error
        folders = [_Folder(b"", status, top)]
        while folders:
            folder = folders[-1]
            name = next(folder.names, None)
            if name is None:
                folders.pop()
                continue
            path = folder.path + b"/" + name if folder.path else name
            try:
                status = os.lstat(self._root + b"/" + path)
            except FileNotFoundError:
                continue  # gone since the directory was listed, as if it had never been there
            except OSError as error:
                raise _unreadable(path, error) from error
            if self._git_modes and stat.S_IFMT(status.st_mode) not in _KNOWN_TO_GIT:
                continue
            below = self._enter(folder, path, status)
            if below is None:
                continue
            below.sent = below.picked and not (self._no_empty and stat.S_ISDIR(status.st_mode))
            if below.sent:
                for parent in folders:
                    if not parent.sent:
                        parent.sent = True
                        yield self._stat(parent.path, parent.status)
                yield self._stat(path, status)
            if stat.S_ISDIR(status.st_mode):
                below.names = self._names(below)
                folders.append(below)

    def _enter(self, folder: _Folder, name: bytes, status: os.stat_result) -> _Folder | None:
        """What the filter says of the file `name` (its path); None: neither it nor anything below it is picked."""
        entry = _Folder(name, status, iter(()))
        if self._include is None and self._exclude is None:
            return entry
        path = os.fsdecode(name)
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._include is not None:
            picked, entry.include = self._include.match(path, folder.include)
            if not picked:
                if is_folder and self._include_fixed and not self._include.may_pick_below(path, negative=False):
                    return None
                entry.picked = False
        if self._exclude is not None:
            excluded, entry.exclude = self._exclude.match(path, folder.exclude)
            if excluded:
                if is_folder and self._exclude_fixed and not self._exclude.may_pick_below(path, negative=True):
                    return None
                entry.picked = False
        return entry

    def _names(self, folder: _Folder) -> Iterator[bytes]:
        try:
            return iter(sorted(os.listdir(self._root + b"/" + folder.path)))
        except (FileNotFoundError, NotADirectoryError):
            return iter(())
        except OSError as error:
            if error.errno == errno.EACCES and not folder.picked:
                return iter(())
            raise _unreadable(folder.path, error) from error

    def _stat(self, name: bytes, status: os.stat_result) -> Stat:
        absolute = self._root + b"/" + name
        # uid and gid stay 0, as buildctl resets them, so that everyone's checkout has the same cache key.
        mode = _git_mode(status.st_mode) if self._git_modes else status.st_mode
        result = Stat(path=name, mode=go_mode(mode), modTime=status.st_mtime_ns)
        if not stat.S_ISDIR(status.st_mode):
            result.size = status.st_size
            if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
                result.devmajor, result.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
            if status.st_nlink > 1 and not self._git_modes:
                first = self._first_names.setdefault((status.st_dev, status.st_ino), name)
                if first is not name:
                    result.linkname = first
        try:
            if stat.S_ISLNK(status.st_mode):
                result.linkname = os.readlink(absolute)
            _add_xattrs(result, absolute)
        except OSError as error:
            raise _unreadable(name, error) from error
        return result


def _git_mode(mode: int) -> int:
    """What git keeps of `st_mode`: whether a file's owner may execute it (fast-import's 100644 and 100755)."""
    executable = stat.S_ISDIR(mode) or mode & stat.S_IXUSR
    return mode if stat.S_ISLNK(mode) else stat.S_IFMT(mode) | (0o755 if executable else 0o644)


def go_mode(mode: int) -> int:
    """`st_mode` as Go's os.FileMode; a socket is an empty regular file to fsutil (`stat.go`)."""
    return (
        mode & 0o777
        | _GO_TYPES.get(stat.S_IFMT(mode), 0)
        | (_GO_SETUID if mode & stat.S_ISUID else 0)
        | (_GO_SETGID if mode & stat.S_ISGID else 0)
        | (_GO_STICKY if mode & stat.S_ISVTX else 0)
    )


def unix_mode(mode: int) -> int:
    """Go's os.FileMode as `st_mode`."""
    kind = next((unix for unix, go in _GO_TYPES.items() if mode & _GO_TYPE_BITS == go), stat.S_IFREG)
    return (
        mode & 0o777
        | kind
        | (stat.S_ISUID if mode & _GO_SETUID else 0)
        | (stat.S_ISGID if mode & _GO_SETGID else 0)
        | (stat.S_ISVTX if mode & _GO_STICKY else 0)
    )


def _add_xattrs(result: Stat, absolute: bytes) -> None:
    try:
        keys = os.listxattr(absolute, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for key in keys:
        if key.startswith("com.apple."):
            continue
        try:
            result.xattrs[key] = os.getxattr(absolute, key, follow_symlinks=False)
        except OSError:
            continue  # needs a capability, or is gone: fsutil leaves it out as well


def _unreadable(path: bytes, error: OSError) -> ContextError:
    return ContextError(
        f"the build context's {os.fsdecode(path)!r} cannot be read: {error.strerror}",
        action="make it readable, or exclude it in .dockerignore",
    )


# Links ----------------------------------------------------------------------------------------------------------


def follow_links(root: bytes, paths: Iterable[str]) -> list[str] | None:
    """Include patterns for `paths` and for all that the symlinks on the way point to; None: the whole directory."""
    resolved: set[str] = set()
    waiting = list(paths)
    while waiting:  # not recursive: links may lead to links for longer than Python's stack
        waiting += _follow(root, waiting.pop(), resolved)
    return _without_nested(sorted(resolved))


def _follow(root: bytes, path: str, resolved: set[str]) -> list[str]:
    """Note the path as far as its first link; where that leads to."""
    parts = posixpath.normpath(f"./{path}").split("/")
    for depth in range(1, len(parts) + 1):
        current = "/".join(parts[:depth])
        targets = _link_targets(root, current, wildcards=True)
        if targets is None and depth < len(parts):
            continue
        if current in resolved:
            return []
        resolved.add(current)
        rest = "/".join(parts[depth:])
        return [posixpath.join(target, rest) for target in targets or ()]
    return []


def _link_targets(root: bytes, path: str, *, wildcards: bool) -> list[str] | None:
    """Where `path` points to, from the root; None if it is no link. A pattern in its last part stands for many."""
    folder, name = posixpath.split(path)
    if wildcards and re.search(r"(?<!\\)(?:\\\\)*[*?[]", name):
        try:
            names = sorted(os.listdir(root + b"/" + os.fsencode(folder)))
        except OSError:
            return None
        # Within one component `**` means no more than `*`.
        component = PatternList([re.sub(r"\*+", "*", name)])
        found = []
        for other in map(os.fsdecode, names):
            if component.picks(other):
                found += _link_targets(root, posixpath.join(folder, other), wildcards=False) or []
        return found
    if path == "." or path.startswith(".."):
        return None
    try:
        target = os.fsdecode(os.readlink(root + b"/" + os.fsencode(path)))
    except OSError:
        return None
    return [posixpath.normpath(posixpath.join("/", folder, target))]


def _without_nested(paths: list[str]) -> list[str] | None:
    """`paths` (sorted) without those below another one; None if one is the root itself."""
    kept: list[str] = []
    for path in paths:
        if path == ".":
            return None
        if not kept or not path.startswith(kept[-1] + "/"):
            kept.append(path)
    return kept

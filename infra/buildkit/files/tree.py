"""A directory that is filled from outside, without ever writing outside it.

No path is handed to the kernel: each component is opened relative to its folder without following links, so that
neither `..` nor a link that was there before or came with the result leads out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat as modes
from pathlib import Path

from prefect_slipway.infra.buildkit.files.walk import unix_mode
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Stat
from prefect_slipway.infra.common.removal import remove_content
from prefect_slipway.infra.domain.errors import OutputError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """Makes `root` (mode 0700 less the umask, as fsutil) and puts entries below it. Raises OSError and OutputError."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._last: tuple[bytes, int] = (b"", self._root)
        self._temporaries: dict[int, tuple[bytes, bytes]] = {}

    def close(self) -> None:
        """Remove unfinished files and close the directory."""
        for descriptor, (folder, name) in [*self._temporaries.items()]:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder(folder))
        self._temporaries.clear()
        self._leave()
        os.close(self._root)

    def make(self, stat: Stat) -> bool:
        """Create a directory, symlink, pipe or device; True for a directory, which needs `seal` at the end."""
        folder, name = self._place(stat.path)
        mode = unix_mode(stat.mode)
        if modes.S_ISDIR(mode):
            try:
                os.mkdir(name, 0o700, dir_fd=folder)
            except FileExistsError:
                if not modes.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                    self._remove(name, folder)
                    os.mkdir(name, 0o700, dir_fd=folder)
            return True
        self._remove(name, folder)
        if modes.S_ISLNK(mode):
            os.symlink(stat.linkname, name, dir_fd=folder)
        else:
            os.mknod(name, mode, os.makedev(stat.devmajor, stat.devminor), dir_fd=folder)
            os.chmod(name, modes.S_IMODE(mode), dir_fd=folder)
        os.utime(name, ns=(stat.modTime, stat.modTime), dir_fd=folder, follow_symlinks=False)
        return False

    def begin(self, stat: Stat) -> int:
        """Open a temporary file for `write`, next to its final name."""
        parent, _ = os.path.split(_checked(stat.path))
        name = b".slipway-" + secrets.token_hex(8).encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self._folder(parent))
        self._temporaries[descriptor] = (parent, name)
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def finish(self, descriptor: int, stat: Stat) -> None:
        """The file is complete: give it its mode, time, attributes and name."""
        _, temporary = self._temporaries[descriptor]
        folder, name = self._place(stat.path)
        os.fchmod(descriptor, modes.S_IMODE(unix_mode(stat.mode)))
        _set_xattrs(descriptor, stat)
        os.utime(descriptor, ns=(stat.modTime, stat.modTime))
        if _is_folder(name, folder):
            self._remove(name, folder)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        del self._temporaries[descriptor]
        os.close(descriptor)

    def link(self, stat: Stat) -> None:
        """A further name for a file that came before."""
        source_folder, source = os.path.split(_checked(stat.linkname))
        # `_folder` keeps one descriptor: the source's folder needs one of its own.
        other = os.dup(self._folder(source_folder))
        try:
            folder, name = self._place(stat.path)
            if not modes.S_ISREG(os.lstat(source, dir_fd=other).st_mode):
                raise OutputError(f"a hard link to {os.fsdecode(stat.linkname)!r}, which is not a file")
            self._remove(name, folder)
            os.link(source, name, src_dir_fd=other, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(other)

    def seal(self, stat: Stat) -> None:
        """Finish a directory: set its mode, time and attributes."""
        folder, name = self._place(stat.path)
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            os.fchmod(descriptor, modes.S_IMODE(unix_mode(stat.mode)))
            _set_xattrs(descriptor, stat)
            os.utime(descriptor, ns=(stat.modTime, stat.modTime))
        finally:
            os.close(descriptor)

    def keep(self, paths: set[bytes]) -> None:
        """Remove everything that has none of these names."""
        folders = [b""]
        while folders:
            parent = folders.pop()
            for name in map(os.fsencode, os.listdir(self._folder(parent))):  # noqa: PTH208 (of a descriptor)
                path = parent + b"/" + name if parent else name
                if path not in paths:
                    self._remove(name, self._folder(parent))
                elif _is_folder(name, self._folder(parent)):
                    folders.append(path)

    def _place(self, path: bytes) -> tuple[int, bytes]:
        folder, name = os.path.split(_checked(path))
        return self._folder(folder), name

    def _folder(self, path: bytes) -> int:
        """A descriptor of a folder below the root, kept until the next one is wanted."""
        if self._last[0] == path:
            return self._last[1]
        self._leave()
        walked = b""
        for part in path.split(b"/") if path else ():
            walked = walked + b"/" + part if walked else part
            deeper = os.open(part, _FOLDER, dir_fd=self._last[1])
            self._leave()
            self._last = (walked, deeper)
        return self._last[1]

    def _leave(self) -> None:
        if self._last[1] != self._root:
            os.close(self._last[1])
        self._last = (b"", self._root)

    def _remove(self, name: bytes, folder: int) -> None:
        """Make room for what comes in its place."""
        if _is_folder(name, folder):
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                remove_content(inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=folder)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)


def _checked(path: bytes) -> bytes:
    if any(part in {b"", b".", b".."} for part in path.split(b"/")) or b"\0" in path:
        raise OutputError(f"the daemon sends a file named {os.fsdecode(path)!r}, which is outside the directory")
    return path


def _is_folder(name: bytes, folder: int) -> bool:
    try:
        return modes.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)
    except FileNotFoundError:
        return False


def _set_xattrs(descriptor: int, stat: Stat) -> None:
    for key, value in stat.xattrs.items():
        # What a file system or a user without rights does not take is left out, as by fsutil.
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, key, value)

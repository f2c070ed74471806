"""Unpacking of archives that may be hostile: nothing outside of the target, no devices, no bombs.

Members are written here and not by `tarfile` and `zipfile`, so that one set of rules holds for both, whatever Python
runs (its own filter for tar files let links lead outside until 2025, CVE-2025-4517).
"""

from __future__ import annotations

import calendar
import gzip
import lzma
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from flows.domain.errors import SourceError

_CHUNK = 1 << 20
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_LAST_TIME = 2**33  # seconds since the epoch that every file system can keep
_TAR_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """Beyond these an archive is taken for a bomb. `total_bytes`: of the archive, and of all files in it together."""

    total_bytes: int = 16 << 30
    entries: int = 1_000_000


@dataclass(frozen=True, slots=True)
class _Member:
    """One entry. `kind`: file, directory, symlink, hardlink or device. `modified`: seconds since the epoch.

    `open`: reads a file's content, or the target that a zip keeps as a link's content.
    """

    name: str
    kind: str
    executable: bool
    modified: int
    open: Callable[[], IO[bytes] | None]
    target: str = ""


def unpack(archive: Path, target: Path, shown: str, limits: UnpackLimits, check: Callable[[], None]) -> int | None:
    """Unpack a tar or zip file into the new directory `target`; returns its newest entry's time, None if it is empty.

    `shown`: the archive, for messages. `check`: called often; what it raises ends the work. Files get the mode 0644 or
    0755 and their times. Raises SourceError for what is no archive or not safe to unpack.
    """
    target.mkdir(mode=0o755)
    tree = _Tree(target, shown, limits, check)
    try:
        with archive.open("rb") as start:
            zipped = start.read(4) in _ZIP_MAGIC
        if zipped:
            with zipfile.ZipFile(archive) as opened:
                return tree.write_all(_of_zip(opened))
        with tarfile.open(archive) as tar:
            return tree.write_all(_of_tar(tar))
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,  # zipfile: a compression this Python lacks
        UnicodeDecodeError,
    ) as error:
        raise _unreadable(shown) from error
    except OSError as error:
        if error.errno is None:  # bz2 says so of bad data
            raise _unreadable(shown) from error
        raise


def _unreadable(shown: str) -> SourceError:
    return SourceError(
        f"{shown} is no archive that can be read", action="use tar (.gz, .xz, .bz2) or zip without a password"
    )


def _of_tar(tar: tarfile.TarFile) -> Iterator[_Member]:
    for info in tar:
        yield _Member(
            name=info.name,
            kind=_TAR_KINDS.get(info.type, "device"),
            executable=bool(info.mode & stat.S_IXUSR),
            modified=int(info.mtime),
            open=partial(tar.extractfile, info),
            target=info.linkname,
        )


def _of_zip(zipped: zipfile.ZipFile) -> Iterator[_Member]:
    for info in zipped.infolist():
        mode = info.external_attr >> 16
        kind = "directory" if info.is_dir() else "file"
        if stat.S_ISLNK(mode):
            kind = "symlink"
        elif stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR} or info.flag_bits & 1:
            kind = "device" if not info.flag_bits & 1 else "encrypted file"
        yield _Member(
            name=info.filename,
            kind=kind,
            executable=bool(mode & stat.S_IXUSR),
            modified=calendar.timegm((*info.date_time, 0, 0, 0)),
            open=partial(zipped.open, info),
            target="",
        )


@dataclass
class _Tree:
    """The directory that is being filled."""

    root: Path
    shown: str
    limits: UnpackLimits
    check: Callable[[], None]
    _links: set[str] = field(default_factory=set)
    _directories: dict[str, int] = field(default_factory=dict)
    _entries: int = 0
    _bytes: int = 0

    def write_all(self, members: Iterator[_Member]) -> int | None:
        newest = None
        for member in members:
            self.check()
            self._entries += 1
            if self._entries > self.limits.entries:
                raise self._refused(f"holds more than {self.limits.entries} entries")
            modified = min(max(member.modified, 0), _LAST_TIME)
            self._write(member, modified)
            newest = modified if newest is None else max(newest, modified)
        for link in self._links:
            if not os.path.realpath(self.root / link).startswith(f"{os.path.realpath(self.root)}{os.sep}"):
                raise self._refused(f"holds a link that leads outside: {link}")
        for name, modified in self._directories.items():
            os.utime(self.root / name, (modified, modified))
        return newest

    def _write(self, member: _Member, modified: int) -> None:
        name = self._checked(member.name)
        path = self.root / name
        if member.kind == "directory":
            self._make_directory(name)
            self._directories[name] = modified
            return
        if name == ".":
            raise self._refused("holds a member without a name")
        self._make_directory(posixpath.dirname(name) or ".")
        if name in self._links or path.is_file():
            path.unlink()  # as tar does, the later member counts
            self._links.discard(name)
        elif path.is_dir():
            raise self._refused(f"holds {name} as a directory and as something else")
        if member.kind == "file":
            self._write_file(path, member)
            os.utime(path, (modified, modified))
        elif member.kind == "symlink":
            self._write_link(name, member)
        elif member.kind == "hardlink":
            self._write_hard_link(path, self._checked(member.target))
        else:
            raise self._refused(f"holds a {member.kind}: {name}")

    def _write_file(self, path: Path, member: _Member) -> None:
        source = member.open()
        assert source is not None, "regular files have content"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with source, os.fdopen(descriptor, "wb") as file:
            while chunk := source.read(_CHUNK):
                self.check()
                self._bytes += len(chunk)
                if self._bytes > self.limits.total_bytes:
                    raise self._refused(f"unpacks to more than {self.limits.total_bytes} bytes")
                file.write(chunk)
            os.fchmod(file.fileno(), 0o755 if member.executable else 0o644)

    def _write_link(self, name: str, member: _Member) -> None:
        target = member.target
        if not target:
            content = member.open()
            assert content is not None, "a zip keeps a link's target as its content"
            with content:
                target = os.fsdecode(content.read(4096))
        leads = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if not target or "\0" in target or target.startswith("/") or leads.split("/")[0] == "..":
            raise self._refused(f"holds a link that leads outside: {name}")
        (self.root / name).symlink_to(target)
        self._links.add(name)

    def _write_hard_link(self, path: Path, name: str) -> None:
        first = self.root / name
        if name in self._links or not first.is_file():
            raise self._refused(f"holds a link to {name}, which is no file in it")
        path.hardlink_to(first)

    def _make_directory(self, name: str) -> None:
        for end in [*(i for i, character in enumerate(name) if character == "/"), len(name)]:
            part = self.root / name[:end]
            if not part.is_dir():
                if part.exists() or part.is_symlink():
                    raise self._refused(f"holds {name[:end]} as a directory and as something else")
                part.mkdir()
                part.chmod(0o755)

    def _checked(self, name: str) -> str:
        """The member's path in normal form, which stays inside and goes through no symbolic link."""
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise self._refused(f"holds a member that leads outside: {name!r}")
        for count in range(1, len(parts)):
            if "/".join(parts[:count]) in self._links:
                raise self._refused(f"holds a member behind a link: {name!r}")
        return "/".join(parts) or "."

    def _refused(self, what: str) -> SourceError:
        return SourceError(f"{self.shown} {what}", action="do not unpack it; ask its publisher")

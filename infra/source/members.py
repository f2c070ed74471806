"""Read the members of tar and zip files with bounded memory for their headers.

`tarfile` and `zipfile` parse the formats. What a header says of its own size is not believed: the streams that they
read from give no more than a bound. What they raise on malformed headers, of many kinds, has one name.
"""

from __future__ import annotations

import bz2
import calendar
import errno
import gzip
import io
import lzma
import math
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from prefect_slipway.infra.source.limits import shortened

_CHUNK = 1 << 20
# For all headers before a member: the limit of Go's archive/tar (maxSpecialFileSize).
_HEADER_BYTES = 1 << 20
_GLOBAL_HEADERS = 100
# Of a zip's list of members, each of which becomes an object: a hundred thousand and more.
_DIRECTORY_BYTES = 16 << 20
# What a decompressor may take: `xz -9` needs 65 MiB.
_DECOMPRESSOR_BYTES = 128 << 20
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
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_UNREADABLE = "is not an archive that can be read"


class BadArchive(Exception):
    """An archive that is malformed or a bomb; its text follows the archive's name in a message."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry. `kind`: file, directory, symlink, hardlink, or in words what else it is. `modified`: seconds since the
    epoch. `target`: of a link in a tar file; a zip keeps it as the link's content.
    """

    name: str
    kind: str
    executable: bool
    modified: int
    target: str
    open: Callable[[], IO[bytes] | None]

    def chunks(self) -> Iterator[bytes]:
        """Its content. Raises BadArchive."""
        with _parsing():
            content = self.open()
            if content is None:
                raise BadArchive(_UNREADABLE)
        with content:
            while True:
                with _parsing():
                    chunk = content.read(_CHUNK)
                if not chunk:
                    return
                yield chunk


@contextmanager
def members_of(archive: Path) -> Iterator[Iterator[Member]]:
    """The members of a tar file, plain or compressed, or of a zip file. Raises BadArchive, in the block as well."""
    with ExitStack() as exits:
        file = exits.enter_context(archive.open("rb"))
        start = file.read(8)
        file.seek(0)
        if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            with _parsing():
                zipped = exits.enter_context(zipfile.ZipFile(cast(IO[bytes], _ZipStream(file))))
            yield _of_zip(zipped)
        else:
            with _parsing():
                stream = exits.enter_context(_decompressed(file, start))
            yield _of_tar(_TarStream(stream))


@contextmanager
def _parsing() -> Iterator[None]:
    """Within: whatever the libraries raise on bytes that are not as they should be is a BadArchive.

    They raise ValueError, IndexError, KeyError, struct.error, RecursionError and more, by where a header is wrong.
    """
    try:
        yield
    except BadArchive:
        raise
    except OSError as error:
        # gzip and bz2 say so of bad data; and a zip's entry may begin before the file does.
        if error.errno in {None, errno.EINVAL}:
            raise BadArchive(_UNREADABLE) from error
        raise
    except MemoryError as error:
        raise BadArchive("takes more memory than this machine has") from error
    except Exception as error:
        raise BadArchive(_UNREADABLE) from error


def _of_tar(stream: _TarStream) -> Iterator[Member]:
    with stream.headers():
        tar = tarfile.TarFile(fileobj=cast(IO[bytes], stream), mode="r")
    while True:
        with stream.headers():
            info = tar.next()
        if info is None:
            return
        # Each is kept otherwise, with all that its headers said.
        cast(Any, tar).members.clear()
        if len(tar.pax_headers) > _GLOBAL_HEADERS or sum(map(len, tar.pax_headers.values())) > _HEADER_BYTES:
            raise BadArchive("has headers for all of its members that are too many, or too long")
        yield Member(
            name=info.name,
            kind=_TAR_KINDS.get(info.type, "device"),
            executable=bool(info.mode & stat.S_IXUSR),
            modified=_seconds(info.mtime),
            target=info.linkname,
            open=partial(tar.extractfile, info),
        )


def _of_zip(zipped: zipfile.ZipFile) -> Iterator[Member]:
    for info in zipped.infolist():
        mode = info.external_attr >> 16
        if not info.filename:  # also one that begins with a NUL, where zipfile cuts it; `is_dir` raises IndexError
            raise BadArchive("has a member without a name")
        kind = "directory" if info.is_dir() else "file"
        if stat.S_ISLNK(mode):
            kind = "symlink"
        elif info.flag_bits & 1:
            kind = "encrypted file"
        elif info.compress_type not in _ZIP_METHODS:
            kind = f"file compressed by method {info.compress_type}"
        elif stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            kind = "device"
        yield Member(
            name=info.filename,
            kind=kind,
            executable=bool(mode & stat.S_IXUSR),
            modified=_dos_seconds(info.date_time),
            target="",
            open=partial(zipped.open, info),
        )


def _seconds(time: float) -> int:
    return 0 if math.isnan(time) else int(min(max(time, 0), _LAST_TIME))


def _dos_seconds(time: tuple[int, int, int, int, int, int]) -> int:
    """Seconds since the epoch. A time that there is not (month 0, as reproducible zips have it) is that of its year."""
    try:
        return calendar.timegm((*time, 0, 0, 0))
    except ValueError:
        return calendar.timegm((time[0], 1, 1, 0, 0, 0, 0, 0, 0))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _TarStream:
    """What `tarfile` reads from: forwards only, and within `headers()` no more than headers may take."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._at = 0
        self._left: int | None = None

    @contextmanager
    def headers(self) -> Iterator[None]:
        """Within: what is read is headers."""
        self._left = _HEADER_BYTES
        try:
            with _parsing():
                yield
        finally:
            self._left = None

    def read(self, size: int) -> bytes:
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise BadArchive(f"has headers of more than {_HEADER_BYTES >> 20} MiB before one member")
        data = self._stream.read(size)
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> int:
        if position < self._at:
            raise BadArchive(_UNREADABLE)  # a size below zero
        while self._at < position:
            passed = len(self._stream.read(min(position - self._at, _CHUNK)))
            if not passed:
                break
            self._at += passed
        return self._at


class _ZipStream:
    """What `zipfile` reads from: it reads the list of members at once, however large that says it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._size = file.seek(0, io.SEEK_END)

    def read(self, size: int = -1) -> bytes:
        wanted = size if size >= 0 else self._size - self._file.tell()
        if wanted > _DIRECTORY_BYTES:
            raise BadArchive(f"has a list of members of more than {_DIRECTORY_BYTES >> 20} MiB")
        return self._file.read(wanted)

    def close(self) -> None:
        """Whoever opened the file closes it."""


@contextmanager
def _decompressed(file: BinaryIO, start: bytes) -> Iterator[_Readable]:
    """The stream within a compressed file, told by its first bytes; another file as it is."""
    if start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked
    elif start.startswith(b"BZh"):
        with bz2.BZ2File(file) as unpacked:
            yield unpacked
    elif start.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        yield _Xz(file)
    elif start.startswith(b"\x28\xb5\x2f\xfd"):
        with _zstd(file) as unpacked:
            yield unpacked
    else:
        yield file


class _Xz:
    """A stream of xz's, decompressed within a bound: `lzma.LZMAFile` takes as much memory as the file asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = self._next()

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data.lstrip(b"\0") or self._file.read(_CHUNK).lstrip(b"\0")
                if not rest:  # padding, and the file's end
                    break
                self._decompressor = self._next()
                found += self._decompressor.decompress(rest, size - len(found))
                continue
            fresh = self._file.read(_CHUNK) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not fresh:
                raise BadArchive(_UNREADABLE)
            found += self._decompressor.decompress(fresh, size - len(found))
        return found

    def _next(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_DECOMPRESSOR_BYTES)


def _zstd(file: BinaryIO) -> IO[bytes]:
    """Python has it from 3.14 on; its window is bounded by libzstd to 128 MiB."""
    try:
        from compression.zstd import ZstdFile  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise BadArchive(f"{_UNREADABLE}: zstd needs Python 3.14") from error
    return cast(IO[bytes], ZstdFile(file))


def link_target(member: Member) -> str:
    """What a link of either format leads to."""
    if member.target:
        return member.target
    content = b""
    for chunk in member.chunks():
        content += chunk
        if len(content) > 4096:  # PATH_MAX
            raise BadArchive(f"contains a link with a target that is too long: {shortened(member.name)}")
    return content.decode("utf-8", "surrogateescape")

"""Read the files that the daemon requests as they were announced; a later change is an error."""

from __future__ import annotations

import errno
import os
import stat
from array import array
from pathlib import Path

from prefect_slipway.infra.buildkit.files.packets import data_head
from prefect_slipway.infra.buildkit.http2.stream import ProtocolViolation
from prefect_slipway.infra.domain.errors import ContextError

_BYTES_AT_ONCE = 2 << 20
# From larger ones a daemon makes equally large new buffers, and takes longer for a large file.
_DATA_SIZE = 1 << 16
# Smaller ones are joined: an object each would take more memory than what is in it.
_WORTH_NO_COPY = 1 << 14


class FileTable:
    """Path, size and time of what was announced, by position: a few bytes an entry, for contexts of any size."""

    def __init__(self) -> None:
        self._paths = bytearray()
        self._ends = array("Q")
        self._sizes = array("q")
        self._times = array("q")

    def add(self, path: bytes, size: int, modified_ns: int) -> None:
        """Add the next announced file. `path`: b"" if it has no content."""
        self._paths += path
        self._ends.append(len(self._paths))
        self._sizes.append(size)
        self._times.append(modified_ns)

    def __getitem__(self, index: int) -> tuple[bytes, int, int]:
        start = self._ends[index - 1] if index else 0
        path = bytes(self._paths[start : self._ends[index]])
        if not path:
            raise IndexError(index)
        return path, self._sizes[index], self._times[index]


class FileReader:
    """Reads requested files one after the other, as framed DATA packets. Used from one thread at a time."""

    def __init__(self, root: Path, table: FileTable) -> None:
        self._root = os.path.realpath(os.fsencode(root)) + b"/"
        self._table = table
        # A daemon may ask for all files at once: four bytes each.
        self.requests = array("I")
        self._served = 0
        self._descriptor = -1
        self._number = 0  # of the open file
        self._left = 0  # of its bytes

    def next_pieces(self) -> list[bytes]:
        """About _BYTES_AT_ONCE of framed packets, cut anywhere; none when nothing is requested.

        Raises ContextError or ProtocolViolation.
        """
        pieces: list[bytes] = []
        small = bytearray()
        size = 0
        while size + len(small) < _BYTES_AT_ONCE and (self._descriptor >= 0 or self._served < len(self.requests)):
            if self._descriptor < 0:
                self._served += 1
                self._open(self.requests[self._served - 1])
            if self._descriptor >= 0 and (data := self._read()):
                small += data_head(self._number, len(data))
                if len(data) < _WORTH_NO_COPY:
                    small += data
                else:
                    pieces += (bytes(small), data)
                    size += len(small) + len(data)
                    small.clear()
            if self._descriptor < 0:
                small += data_head(self._number, 0)
        if small:
            pieces.append(bytes(small))
        return pieces

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, number: int) -> None:
        """Open the next file; a socket, which cannot be and was announced as an empty file, stays closed."""
        self._number = number
        try:
            path, self._left, _ = self._table[number]
        except IndexError as error:
            raise ProtocolViolation(f"the daemon requests file {number}, which was not announced") from error
        path = self._root + path
        try:
            # A named pipe that took the file's place must not block the open.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise self._changed("disappeared while the context was read") from error
        except OSError as error:
            if not (error.errno == errno.ENXIO and self._left == 0 and stat.S_ISSOCK(os.lstat(path).st_mode)):
                raise self._changed(f"cannot be read: {error.strerror}") from error

    def _read(self) -> bytes:
        """The next piece of the open file; the file is closed with its last one."""
        # Read one byte more than expected, to tell the end from a file that has grown.
        wanted = min(_DATA_SIZE, self._left + 1)
        try:
            data = os.read(self._descriptor, wanted)
            self._left -= len(data)
            if len(data) == wanted and self._left >= 0:
                return data
            if self._left == 0:
                now = os.fstat(self._descriptor)
                _, size, modified_ns = self._table[self._number]
                if (now.st_size, now.st_mtime_ns) == (size, modified_ns):
                    self.close()
                    return data
        except OSError as error:
            raise self._changed(f"cannot be read: {error.strerror}") from error
        if data and self._left > 0:
            return data  # a file system may give less than was requested
        raise self._changed("changed while the context was read")

    def _changed(self, what: str) -> ContextError:
        return ContextError(f"the build context's {os.fsdecode(self._table[self._number][0])!r} {what}")

"""Files that nobody else can read: on disk with mode 0600, or in memory if they must not reach a disk.

In memory they are anonymous (memfd_create(2), Linux only), named by `/proc/self/fd/N`: no other user ever sees them,
and they are gone with the process, however it ends.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically by a file with mode 0600."""
    # mkstemp creates with 0600, so that the text is at no moment readable by others.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def private_folder(path: Path) -> Path:
    """`path` as a folder with mode 0700, created if needed."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def in_memory(name: str, content: bytes) -> int:
    """The descriptor of a file in memory, which the caller closes; its `name` is for whoever lists descriptors."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    _write_all(descriptor, content)
    return descriptor


class PrivateFiles:
    """Files by path until `close`, for libraries that read from paths only (OpenSSL): in memory where that is possible,
    else in a private folder, which a kill -9 would leave."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        self._folder: TemporaryDirectory[str] | None = None

    def add(self, name: str, content: bytes) -> Path:
        """A file with `content`; readable by this process by the path that is given back."""
        if sys.platform == "linux":
            self._descriptors.append(in_memory(name, content))
            return Path(f"/proc/self/fd/{self._descriptors[-1]}")
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="slipway-")
        path = Path(self._folder.name) / f"{len(list(Path(self._folder.name).iterdir()))}-{name}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(descriptor, content)
        finally:
            os.close(descriptor)
        return path

    def close(self) -> None:
        """Forget all of them."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]

"""PEM text as files, for OpenSSL, which reads certificates and keys from paths only.

On Linux they are anonymous files in memory (memfd_create(2)), named by `/proc/self/fd/N`: no other user and no
disk ever sees them, and they are gone with the process, however it ends. Elsewhere they are files of mode 0600 in a
private folder, which a kill -9 would leave.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


class PrivateFiles:
    """Files that live until `close`."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        self._folder: TemporaryDirectory[str] | None = None

    def add(self, name: str, content: bytes) -> Path:
        """A file with `content`; readable by this process by the path that is given back."""
        if sys.platform == "linux":
            descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
            self._descriptors.append(descriptor)
            _write_all(descriptor, content)
            return Path(f"/proc/self/fd/{descriptor}")
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

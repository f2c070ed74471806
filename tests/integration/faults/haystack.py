"""A search for bytes in all that a run leaves: files, with archives, layers and encodings opened."""

from __future__ import annotations

import base64
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_GZIP = b"\x1f\x8b\x08"
_CHUNK = 1 << 20


class Needles:
    """Secrets to look for, each in the encodings in which it could have slipped out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms: dict[bytes, str] = {}
        for secret in secrets:
            assert len(secret) >= 8, "too short to be told from chance"
            for form in _forms(secret.encode()):
                self._forms[form] = secret
        self._longest = max(map(len, self._forms))

    def in_bytes(self, content: bytes) -> set[str]:
        """The secrets that `content` holds."""
        return {secret for form, secret in self._forms.items() if form in content}

    def in_file(self, path: Path) -> set[str]:
        """The secrets that a file holds, as it is or, if it is compressed, within."""
        with path.open("rb") as file:
            compressed = file.read(3) == _GZIP
        found = self._in_stream(_chunks(path))
        if compressed:
            found |= self._in_stream(_inflated(path))
        return found

    def in_folder(self, folder: Path, but: Iterable[Path] = ()) -> dict[Path, set[str]]:
        """Files and links below `folder` whose content, target or name holds a secret; `but`: those left out."""
        found: dict[Path, set[str]] = {}
        left_out = set(but)
        for path in _files(folder):
            hits = self.in_bytes(os.fsencode(path.name))
            if path.is_symlink():
                hits |= self.in_bytes(os.fsencode(path.readlink()))
            elif path not in left_out and stat.S_ISREG(path.lstat().st_mode):
                hits |= self.in_file(path)
            if hits:
                found[path] = hits
        return found

    def _in_stream(self, chunks: Iterator[bytes]) -> set[str]:
        found: set[str] = set()
        tail = b""
        for chunk in chunks:
            window = tail + chunk
            found |= self.in_bytes(window)
            tail = window[-self._longest :]
        return found


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret.hex().encode()
    # Base64 of a longer text shows the secret in one of three ways, by where it begins; its ends mix with what is next
    # to it.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret)
        inner = encoded[(0, 2, 3)[shift] : len(encoded) - 4]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _inflated(path: Path) -> Iterator[bytes]:
    """What is in a gzip file, as far as it goes if it is cut off or goes on with something else."""
    inflater = zlib.decompressobj(wbits=31)
    for chunk in _chunks(path):
        rest = chunk
        while rest:
            try:
                yield inflater.decompress(rest)
            except zlib.error:
                return
            rest = inflater.unused_data
            if inflater.eof:
                inflater = zlib.decompressobj(wbits=31)

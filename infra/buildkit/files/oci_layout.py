"""An OCI image layout on disk: blobs by digest, and an index.json that names some of them.

Format: image-layout.md of the OCI image specification. How names stand in index.json: client/ociindex/ociindex.go
(moby/buildkit).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REF_NAME = "org.opencontainers.image.ref.name"
_IMAGE_NAME = "io.containerd.image.name"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


class Layout:
    """A layout at `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def blob(self, digest: str) -> Path | None:
        """Where the blob lies or would lie; None for what is not a digest (of SHA-256)."""
        if not _DIGEST.fullmatch(digest):
            return None
        algorithm, _, value = digest.partition(":")
        return self.path / "blobs" / algorithm / value

    def size(self, digest: str) -> int | None:
        """Bytes of a blob, None if it does not exist."""
        path = self.blob(digest)
        try:
            return path.stat().st_size if path is not None else None
        except OSError:
            return None

    def digest(self, name: str) -> str | None:
        """The digest that index.json has under a name or tag, a name first; None if there is none."""
        manifests = _manifests(self._index())
        for key in range(2):
            for descriptor in manifests:
                if _naming(descriptor)[key] == name:
                    return str(descriptor.get("digest", ""))
        return None

    def only(self) -> str | None:
        """The digest of the only one in index.json, whatever its name; None if there is another number of them."""
        manifests = _manifests(self._index())
        return str(manifests[0].get("digest", "")) if len(manifests) == 1 else None

    def put(self, descriptor: Mapping[str, Any], names: Iterable[str] = (), tags: Iterable[str] = ()) -> None:
        """Name a blob in index.json, under image names and tags; what had such a name before loses it. Raises
        OSError."""
        named = [{_IMAGE_NAME: name, _REF_NAME: _tag_of(name)} for name in names]
        named += [{_REF_NAME: tag} for tag in tags]
        with self._locked():
            index = self._index()
            manifests = _manifests(index)
            for annotations in named:
                manifests = [m for m in manifests if _naming(m) != _naming({"annotations": annotations})]
                manifests.append({**descriptor, "annotations": {**_annotations(descriptor), **annotations}})
            index |= {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": manifests}
            self._replace("oci-layout", {"imageLayoutVersion": "1.0.0"})
            self._replace("index.json", index)

    def begin(self) -> Ingest:
        """Start to write a blob. Raises OSError."""
        return Ingest(self)

    def _index(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / "index.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _replace(self, name: str, content: Mapping[str, Any]) -> None:
        temporary = self.path / f".{name}.{os.urandom(4).hex()}"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.path / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among those who write the index, buildctl included."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self.path / "index.json.lock"
        while True:
            with lock.open("w", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # The previous holder removed the file, so its lock no longer excludes anyone.
                if not _is(lock, file):
                    continue
                try:
                    yield
                finally:
                    lock.unlink(missing_ok=True)
                return


class Ingest:
    """A blob that is being written; it has its name only after `commit`. Used from one thread at a time."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        folder = layout.path / "ingest"
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / os.urandom(8).hex()
        self._file = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """Of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Append. Raises OSError."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def truncate(self) -> None:
        """Start over. Raises OSError."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size = hashlib.sha256(), 0

    def commit(self) -> None:
        """Add it to the blobs. Raises OSError."""
        self._file.close()
        target = self._layout.blob(self.digest)
        assert target is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.chmod(0o444)
        self._path.replace(target)

    def close(self) -> None:
        """Discard an uncommitted blob."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _is(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _manifests(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of an index.json, which anybody may have written."""
    found = index.get("manifests")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _annotations(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    found = descriptor.get("annotations")
    return found if isinstance(found, dict) else {}


def _naming(descriptor: Mapping[str, Any]) -> tuple[Any, Any]:
    """Its name and its tag."""
    annotations = _annotations(descriptor)
    return annotations.get(_IMAGE_NAME, ""), annotations.get(_REF_NAME, "")


def _tag_of(name: str) -> str:
    """`1.2` of `registry:5000/app:1.2`, with a digest `1.2@sha256:…`; "" without a tag."""
    name, _, digest = name.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return f"{tag}@{digest}" if digest else tag

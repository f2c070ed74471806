"""Manifests and descriptors as the OCI image specification has them (manifest.md, image-index.md,
descriptor.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.domain.errors import RegistryProtocolError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""What is asked for in Accept: without it registries convert to older formats, with another digest."""

_INDEX_TYPES = {OCI_INDEX, DOCKER_INDEX}
# BuildKit files an image's attestations in the index under this platform.
_NO_PLATFORM = "unknown/unknown"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Something a registry holds. `size` in bytes; `platform`: `linux/arm64/v8`, None outside an index."""

    media_type: str
    digest: str
    size: int
    platform: str | None = None

    @property
    def is_image(self) -> bool:
        """Whether an entry of an index is an image for some platform, rather than an attestation."""
        return self.platform != _NO_PLATFORM


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest or an index, with the very bytes that its digest is made of."""

    raw: bytes = field(repr=False)
    media_type: str
    digest: str
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, raw: bytes, media_type: str) -> Manifest:
        """Read a manifest's bytes; its digest is their sha256. Raises RegistryProtocolError."""
        try:
            document = json.loads(raw)
            if not isinstance(document, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise RegistryProtocolError(f"a manifest of type {media_type!r} is not a JSON object") from error
        return cls(raw, str(document.get("mediaType") or media_type), digest_of(raw), document)

    @property
    def is_index(self) -> bool:
        return self.media_type in _INDEX_TYPES

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.raw))

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests an index lists, none for an image. Raises RegistryProtocolError."""
        return tuple(_descriptor(entry) for entry in self._list("manifests"))

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers of an image, in this order; none for an index. Raises RegistryProtocolError."""
        config = self.document.get("config")
        return tuple(_descriptor(entry) for entry in ([config] if config else []) + self._list("layers"))

    @property
    def size(self) -> int:
        """Bytes of an image's config and layers; 0 for an index, whose children hold them."""
        return sum(blob.size for blob in self.blobs)

    def _list(self, key: str) -> list[Any]:
        entries = self.document.get(key) or []
        if not isinstance(entries, list):
            raise RegistryProtocolError(f"manifest {self.digest}: {key!r} is not a list")
        return entries


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The OCI digest of some bytes; `algorithm` is sha256 or sha512."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def _descriptor(entry: Any) -> Descriptor:
    try:
        platform = entry.get("platform") or {}
        parts = [platform.get(key) for key in ("os", "architecture", "variant")]
        return Descriptor(
            media_type=str(entry["mediaType"]),
            digest=str(entry["digest"]),
            size=int(entry["size"]),
            platform="/".join(part for part in parts if part) or None,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryProtocolError("a manifest holds something that is no descriptor") from error

"""Manifests, descriptors and configurations as the OCI image specification has them (manifest.md, image-index.md,
descriptor.md, config.md). What a registry gave is read into these types once, or refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from prefect_slipway.infra.domain.errors import RegistryProtocolError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""The Accept header: without it registries convert to older formats with a different digest."""

EMPTY_JSON = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
"""A blob that says nothing (manifest.md, "Guidance for an Empty Descriptor")."""

# descriptor.md, "Digests": of any algorithm, as far as this is told. It goes into the path of the next request.
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]{1,256}")
INDEX_TYPES = {OCI_INDEX, DOCKER_INDEX}
# BuildKit files an image's attestations in the index under this platform.
_NO_PLATFORM = "unknown/unknown"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Something a registry holds. `size` in bytes; `platform`: `linux/arm64/v8`, None outside an index.
    `annotations`: values that are not text are passed over."""

    media_type: str
    digest: str
    size: int
    platform: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

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
        document = json_object(raw, f"a manifest of type {media_type!r}")
        named = document.get("mediaType")
        return cls(raw, named if isinstance(named, str) and named else media_type, digest_of(raw), document)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

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


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image's configuration says. `platform`: `linux/arm64/v8`. `diff_ids`: of its uncompressed layers.
    `created`: RFC 3339, as it stands there. `steps`: what made each layer, in their order. `user`: who its processes
    run as, "" for root; `ports`: such as `8080/tcp`. What is missing is empty; what has another type counts as
    missing."""

    labels: Mapping[str, str]
    platform: str = ""
    diff_ids: tuple[str, ...] = ()
    created: str = ""
    steps: tuple[str, ...] = ()
    user: str = ""
    ports: tuple[str, ...] = ()

    @classmethod
    def parse(cls, raw: bytes, digest: str) -> Self:
        """Raises RegistryProtocolError for what is not a JSON object."""
        document = json_object(raw, f"the configuration {digest}")
        config = _object(document, "config")
        labels = _object(config, "Labels")
        ids = _object(document, "rootfs").get("diff_ids")
        parts = [_text(document, key) for key in ("os", "architecture", "variant")]
        return cls(
            labels={name: value for name, value in labels.items() if isinstance(value, str)},
            platform="/".join(part for part in parts if part),
            diff_ids=tuple(one for one in ids if isinstance(one, str)) if isinstance(ids, list) else (),
            created=_text(document, "created"),
            steps=tuple(_text(entry, "created_by") for entry in _history(document) if not entry.get("empty_layer")),
            user=_text(config, "User"),
            ports=tuple(sorted(_object(config, "ExposedPorts"))),
        )


def json_object(content: bytes, what: str) -> dict[str, Any]:
    """Raises RegistryProtocolError for anything else, however it is broken."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RegistryProtocolError(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise RegistryProtocolError(f"{what} is not a JSON object")
    return value


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The OCI digest of some bytes; `algorithm` is sha256 or sha512. Raises RegistryProtocolError for others."""
    if algorithm not in {"sha256", "sha512"}:
        raise RegistryProtocolError(f"a digest of the algorithm {algorithm!r} cannot be checked")
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def _descriptor(entry: Any) -> Descriptor:
    if not isinstance(entry, dict):
        raise RegistryProtocolError("a manifest contains something that is not a descriptor")
    media_type, digest, size = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise RegistryProtocolError("a manifest contains a descriptor without a media type or a digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise RegistryProtocolError(f"a manifest contains a descriptor of {digest} without a size")
    platform = _object(entry, "platform")
    parts = [_text(platform, key) for key in ("os", "architecture", "variant")]
    notes = {key: value for key, value in _object(entry, "annotations").items() if isinstance(value, str)}
    return Descriptor(media_type, digest, size, "/".join(part for part in parts if part) or None, notes)


def _history(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = document.get("history")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""

"""Descriptors with annotations, which list attachments in indexes and manifests.

Source: OCI image specification, descriptor.md; what a registry lists is checked before it becomes part of a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_slipway.infra.domain.errors import RegistryProtocolError
from prefect_slipway.infra.domain.reference import is_digest
from prefect_slipway.infra.domain.signing import Attached
from prefect_slipway.infra.registry.model import Descriptor, Manifest


def entries_of(manifest: Manifest | None, key: str) -> list[dict[str, Any]]:
    """What a manifest or an index lists under `key`, nothing without one. Raises RegistryProtocolError."""
    listed = manifest.document.get(key, []) if manifest is not None else []
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise RegistryProtocolError(f"{key!r} of a manifest is not a list of objects")
    return listed


def entry(descriptor: Descriptor, annotations: Mapping[str, str] | None = None, **more: str) -> dict[str, Any]:
    """A descriptor as JSON has it. `more`: further members, e.g. `artifactType`."""
    listed: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
        **more,
    }
    return {**listed, "annotations": dict(annotations)} if annotations else listed


def read_entry(listed: Mapping[str, Any], type_key: str = "mediaType") -> Attached:
    """The other way round. `type_key`: which member names the attachment's type. Raises RegistryProtocolError."""
    digest, size = listed.get("digest"), listed.get("size")
    annotations = listed.get("annotations") or {}
    if not (
        isinstance(digest, str)
        and is_digest(digest)
        and isinstance(size, int)
        and size >= 0
        and isinstance(annotations, dict)
        and all(isinstance(value, str) for value in annotations.values())
    ):
        raise RegistryProtocolError("a list of attachments contains something that is not a descriptor")
    return Attached(str(listed.get(type_key) or ""), digest, size, annotations)

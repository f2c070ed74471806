"""One index of what several daemons pushed, each for its own platforms.

It has the bytes that one daemon would have written for all of them: exporter/containerimage/writer.go, `Commit`
(moby/buildkit), which lists the images in the order of the request, then their attestations, as Go's
`json.MarshalIndent` writes them. Descriptors are taken over as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_slipway.infra.domain.errors import InvalidOption, RegistryProtocolError
from prefect_slipway.infra.domain.platform import normal_platform
from prefect_slipway.infra.registry.blobs import put_manifest
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.listed import entries_of
from prefect_slipway.infra.registry.model import DOCKER_INDEX, OCI_INDEX, Manifest

Entry = dict[str, Any]

_OF = "vnd.docker.reference.digest"
"""The annotation with the digest of the image that an attestation is about (docs/attestations/attestation-storage.md,
moby/buildkit)."""
_VERSION = re.compile(r"\([^)]*\)")
# What Go's encoding/json writes as \uXXXX.
_ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


async def combine(client: RegistryClient, repository: str, digests: Sequence[str], platforms: Sequence[str]) -> str:
    """Push the index of these indexes by its digest, and return that. `platforms`: all of their images', in order.

    Raises RegistryErrors; RegistryProtocolError for a platform that is missing or is there twice, and for an
    attestation of something else.
    """
    parts = [await client.manifest(repository, digest) for digest in digests]
    combined = combined_index(parts, platforms)
    await put_manifest(client, repository, combined)
    return combined.digest


def combined_index(parts: Sequence[Manifest], platforms: Sequence[str]) -> Manifest:
    """The same without a registry. Raises RegistryProtocolError."""
    images: dict[str, Entry] = {}
    attestations: dict[str, list[Entry]] = {}
    for part in parts:
        if not part.is_index:
            raise RegistryProtocolError(f"{part.digest}, which the builder pushed, is not an index")
        for child, entry in zip(part.children, entries_of(part, "manifests"), strict=True):
            if not child.is_image:
                attestations.setdefault(str(_object(entry, "annotations").get(_OF)), []).append(entry)
            elif images.setdefault(_platform(child.platform or ""), entry) is not entry:
                raise RegistryProtocolError(f"two nodes of the builder pushed {child.platform}")
    ordered = [images.pop(_platform(platform), None) for platform in platforms]
    if images or None in ordered:
        pushed = ", ".join(child.platform or child.digest for part in parts for child in part.children)
        raise RegistryProtocolError(f"the builder pushed {pushed} instead of {', '.join(platforms)}")
    found = [each for image in filter(None, ordered) for each in attestations.pop(image["digest"], ())]
    if attestations:
        raise RegistryProtocolError(f"the builder pushed attestations of {', '.join(attestations)}, but no such image")
    docker = all(part.media_type == DOCKER_INDEX for part in parts)
    index: Entry = {
        "schemaVersion": 2,
        "mediaType": DOCKER_INDEX if docker else OCI_INDEX,
        "manifests": [*ordered, *found],
    }
    if annotations := {key: value for part in parts for key, value in _object(part.document, "annotations").items()}:
        index["annotations"] = dict(sorted(annotations.items()))
    raw = json.dumps(index, indent=2, ensure_ascii=False).translate(_ESCAPED).encode()
    return Manifest.parse(raw, index["mediaType"])


def _platform(text: str) -> str:
    """As an index lists it, in one form: the system's version is a member of its own there."""
    bare = _VERSION.sub("", text)
    try:
        return normal_platform(bare)
    except InvalidOption:
        return bare


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}

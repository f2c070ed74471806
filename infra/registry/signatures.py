"""What cosign attaches to an image under separate tags: signatures (`sha256-HEX.sig`), attestations (`.att`).

Source: sigstore/cosign `specs/SIGNATURE_SPEC.md`, "Storage": an image manifest, each of whose layers is a payload, with
its signature as annotation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from prefect_slipway.infra.domain.signing import Attached, Attachment
from prefect_slipway.infra.registry.blobs import Pause, push_blob, read_blob, while_others_write
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.listed import entry, read_entry
from prefect_slipway.infra.registry.model import DOCKER_MANIFEST, OCI_MANIFEST, Descriptor
from prefect_slipway.infra.registry.shared_tag import Entry, SharedTag

_CONFIG = "application/vnd.oci.image.config.v1+json"
_CONFIG_TYPES = {OCI_MANIFEST: _CONFIG, DOCKER_MANIFEST: "application/vnd.docker.container.image.v1+json"}


class TaggedAttachments:
    """Attachments in the layers of the tag `sha256-HEX` + `suffix`. `limit`: bytes that one may have."""

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        *,
        suffix: str = ".sig",
        limit: int = 64 * 1024,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._client = client
        self._repository = repository
        self._suffix = suffix
        self._limit = limit
        self._pause = pause
        self._tags: dict[str, SharedTag] = {}

    async def attached(self, digest: str) -> Sequence[Attached]:
        return [read_entry(layer) for layer in await self._tag(digest).entries()]

    async def content(self, attached: Attached) -> bytes:
        descriptor = Descriptor(attached.media_type, attached.digest, attached.size)
        return await read_blob(self._client, self._repository, descriptor, self._limit)

    async def add(self, digest: str, attachments: Sequence[Attachment]) -> None:
        # Before the manifest is read, so that little time lies between reading and writing it.
        blobs = [await self._push(each.content, each.media_type) for each in attachments]
        layers = [entry(blob, each.annotations) for blob, each in zip(blobs, attachments, strict=True)]
        await self._tag(digest).add(layers, _same, self._with_config)

    async def _push(self, content: bytes, media_type: str) -> Descriptor:
        """Without asking for it first: what is added is what the list lacked, and pushing it again does no harm."""
        return await while_others_write(
            lambda: push_blob(self._client, self._repository, content, media_type, new=True), self._pause
        )

    def _tag(self, digest: str) -> SharedTag:
        name = digest.replace(":", "-") + self._suffix
        if name not in self._tags:
            kind = (OCI_MANIFEST, DOCKER_MANIFEST)
            tag = SharedTag(self._client, self._repository, name, kind=kind, key="layers", pause=self._pause)
            self._tags[name] = tag
        return self._tags[name]

    async def _with_config(self, document: Entry) -> Entry:
        """An image needs a configuration that names its layers; this one has nothing else in it, as cosign's."""
        config = {
            "architecture": "",
            "created": "0001-01-01T00:00:00Z",
            "history": [{"created": "0001-01-01T00:00:00Z"}] * len(document["layers"]),
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [layer.get("digest") for layer in document["layers"]]},
            "config": {},
        }
        raw = json.dumps(config, separators=(",", ":")).encode()
        media_type = _CONFIG_TYPES[document["mediaType"]]
        return {**document, "config": entry(await self._push(raw, media_type))}


def _same(ours: Entry, theirs: Entry) -> bool:
    """Two signatures of the same image have the same payload."""
    return ours["digest"] == theirs.get("digest") and ours.get("annotations") == theirs.get("annotations")

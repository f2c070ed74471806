"""Attachments as OCI artifacts: manifests that refer to an image by `subject`.

Source: OCI distribution specification 1.1, "Listing Referrers", "Pushing Manifests with Subject", "Referrers Tag
Schema" (the client keeps the list itself where the registry does not); OCI image specification 1.1, manifest.md,
"Guidelines for Artifact Usage".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import AnswerTooLarge, ManifestUnknown, ReferrersRefused, RegistryProtocolError
from prefect_slipway.infra.domain.signing import Attached, Attachment
from prefect_slipway.infra.registry.answers import next_page
from prefect_slipway.infra.registry.blobs import (
    Pause,
    push_blob,
    put_manifest,
    read_blob,
    read_manifest,
    while_others_write,
)
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.errors import error_of
from prefect_slipway.infra.registry.listed import entries_of, entry, read_entry
from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from prefect_slipway.infra.registry.shared_tag import Entry, SharedTag
from prefect_slipway.infra.registry.wire import MOST_BYTES

_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
# What registries without the API answer: nothing there (the specification), or no such route.
_NO_API = {400, 404, 405, 406}
_MAX_PAGES = 100
# cosign 2.x puts the configuration's type into the tag's list, and no annotations.
_VAGUE = (None, "", _EMPTY_TYPE)
_MAX_LOOKS = 100
# How much of each half of a digest is in the tag ("Referrers Tag Schema").
_TAG_ALGORITHM, _TAG_HEX = 32, 64


class Referrers:
    """Attachments of one artifact type, each the one layer of a manifest. `limit`: bytes that one may have.
    `media_type`: of the layer, None for the artifact type."""

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        artifact_type: str,
        *,
        media_type: str | None = None,
        limit: int = 64 * 1024 * 1024,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._client = client
        self._repository = repository
        self._type = artifact_type
        self._media_type = media_type or artifact_type
        self._limit = limit
        self._pause = pause

    async def attached(self, digest: str) -> Sequence[Attached]:
        entries = await self._by_api(digest)
        if not any(each.get("artifactType") in (self._type, *_VAGUE) for each in entries):
            # What was attached before the registry had the API may still be in the tag alone.
            entries = await self._tag(digest).entries()
        known = [each for each in entries if each.get("artifactType") == self._type]
        vague = [each for each in entries if each.get("artifactType") in _VAGUE]
        looked_at = [await self._look_at(read_entry(each)) for each in vague[-_MAX_LOOKS:]]
        return [*(each for each in looked_at if each), *(read_entry(each, "artifactType") for each in known)]

    async def has_list(self, digest: str) -> bool:
        """Whether attaching leaves no new tag: the registry lists referrers itself, or the tag with the list exists."""
        path = f"/v2/{self._repository}/referrers/{digest}"
        response = await self._client.repository_request("GET", self._repository, path, most=MOST_BYTES)
        content_type = response.headers.get("Content-Type", "").partition(";")[0]
        return (response.is_success and content_type == OCI_INDEX) or await self._tag(digest).read() is not None

    async def content(self, attached: Attached) -> bytes:
        manifest = await read_manifest(self._client, self._repository, attached.digest)
        if manifest is None:
            raise ManifestUnknown(
                f"{attached.digest} is listed in {self._client.host}/{self._repository}, but does not exist"
            )
        layers = [blob for blob in manifest.blobs if blob.media_type == self._media_type]
        if len(layers) != 1:
            raise RegistryProtocolError(f"the manifest {manifest.digest} does not hold one {self._type!r}")
        return await read_blob(self._client, self._repository, layers[0], self._limit)

    async def add(self, digest: str, attachments: Sequence[Attachment]) -> None:
        image = (await self._client.manifest(self._repository, digest)).descriptor
        config = await while_others_write(self._push_config, self._pause)
        push = [while_others_write(partial(self._push, image, config, each), self._pause) for each in attachments]
        pushed = await run_concurrently(*push)
        entries = [listed for listed in pushed if listed is not None]
        if entries:
            await self._tag(digest).add(entries, _same)

    async def _push_config(self) -> Descriptor:
        return await push_blob(self._client, self._repository, _EMPTY, _EMPTY_TYPE)

    async def _push(self, image: Descriptor, config: Descriptor, attachment: Attachment) -> Entry | None:
        """Push the manifest; what the list of the image's referrers lacks, None where the registry keeps it itself."""
        # Who adds the same bytes again pushes them again, which does no harm; most are signed a moment ago.
        layer = await push_blob(self._client, self._repository, attachment.content, attachment.media_type, new=True)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": self._type,
            "config": entry(config),
            "layers": [entry(layer)],
            "subject": entry(image),
            "annotations": dict(attachment.annotations),
        }
        manifest = Manifest.parse(json.dumps(document, separators=(",", ":")).encode(), OCI_MANIFEST)
        try:
            answer = await put_manifest(self._client, self._repository, manifest)
        except (ManifestUnknown, RegistryProtocolError) as error:
            raise ReferrersRefused(f"{error.cause}, for a manifest that refers to an image") from error
        if answer.headers.get("OCI-Subject") == image.digest:
            return None
        return entry(manifest.descriptor, attachment.annotations, artifactType=self._type)

    async def _look_at(self, listed: Attached) -> Attached | None:
        """What the manifest says where the list does not; None for an artifact of another type, or none at all."""
        manifest = await read_manifest(self._client, self._repository, listed.digest)
        if manifest is None or manifest.document.get("artifactType") != self._type:
            return None
        described = {**entry(manifest.descriptor), "annotations": manifest.document.get("annotations")}
        return replace(read_entry(described), media_type=self._type)

    async def _by_api(self, digest: str) -> list[Entry]:
        """What the registry lists itself; nothing where it does not."""
        path = f"/v2/{self._repository}/referrers/{digest}?artifactType={quote(self._type, safe='')}"
        found: list[Entry] = []
        for _ in range(_MAX_PAGES):
            response = await self._client.repository_request("GET", self._repository, path, most=MOST_BYTES)
            if response.status_code in _NO_API:
                return found
            if not response.is_success:
                raise error_of(response)
            content_type = response.headers.get("Content-Type", "").partition(";")[0]
            if content_type != OCI_INDEX:
                return found
            found += entries_of(Manifest.parse(response.content, content_type), "manifests")
            following = next_page(response)
            if following is None:
                return found
            path = following
        raise AnswerTooLarge(f"{self._client.host} lists the referrers of {digest} on more than {_MAX_PAGES} pages")

    def _tag(self, digest: str) -> SharedTag:
        algorithm, _, value = digest.partition(":")
        name = f"{algorithm[:_TAG_ALGORITHM]}-{value[:_TAG_HEX]}"
        return SharedTag(self._client, self._repository, name, kind=(OCI_INDEX,), key="manifests", pause=self._pause)


def _same(ours: Entry, theirs: Entry) -> bool:
    return bool(ours["digest"] == theirs.get("digest"))

"""Reservations as a repository shows them: markers, small manifests that nobody pulls, each under a tag of its own.

A marker is an OCI artifact of the type `ARTIFACT` without content (image specification 1.1, manifest.md, "Guidelines
for Artifact Usage"); the reservation is JSON in its annotation. Its tag shows no version, and is written by one release
alone, so that no two write over each other. What ends is deleted. A registry that deletes nothing (Docker Hub and
ghcr.io answer 405) keeps the tag, on a marker that says that it is over, until another release uses it again.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prefect_slipway.infra.common.claims import Note
from prefect_slipway.infra.domain.errors import (
    DigestMismatch,
    ManifestUnknown,
    RegistryError,
    RegistryUnavailable,
    RepositoryUnknown,
    TagImmutable,
    UploadBroken,
)
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import EMPTY_JSON, EMPTY_TYPE, OCI_MANIFEST, Manifest, digest_of

T = TypeVar("T")

ARTIFACT = "application/vnd.slipway.reservation.v1+json"
_ANNOTATION = "slipway.reservation"
_TAG = re.compile(r"slipway-reservation-[0-9a-f]{28}")
_READS_AT_ONCE = 8
# Debian's registry empties a tag's link before it writes it (distribution 2.8, registry/storage/driver/filesystem): who
# asks for that tag in this moment, or deletes any manifest of the repository, is told 500 or 404.
_UNSETTLED = (RegistryUnavailable, UploadBroken, DigestMismatch)
_SETTLES_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
# A tag that could not be deleted is used again only where there are so many to choose from: two releases that begin
# in the same moment should not choose the same one.
_POOL = 16


@dataclass(frozen=True, slots=True)
class Marker:
    """One as it was found. `raw`: its manifest; `digest`: of it.

    `note`: the reservation, None for one that is over. `order`: of releases that want the same version the one with the
    lowest goes first. `decides`: until then its release may not have made up its mind; seconds since the epoch, by the
    registry's clock, as is `ended`.
    """

    tag: str
    digest: str
    order: str
    note: Note | None = None
    decides: float = 0.0
    ended: float = 0.0
    raw: bytes = field(default=b"", repr=False)


def new_order() -> str:
    """Of releases that begin one after the other the earlier one has the lower one, as far as their clocks agree."""
    return f"{time.time_ns() // 1_000_000 & (1 << 48) - 1:012x}{secrets.token_hex(8)}"


class Markers:
    """The markers of one repository. Raises RegistryErrors."""

    def __init__(self, registry: RegistryClient, repository: str) -> None:
        self.registry = registry
        self.repository = repository
        self._deletes = True

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.registry.host}/{self.repository}"

    async def look(self) -> tuple[list[str], list[Marker]]:
        """All other tags, and all markers. What is listed but cannot be read is checked again: it may be there."""
        for last, delay_s in enumerate(_SETTLES_S, start=1 - len(_SETTLES_S)):
            tags = await self.registry.tags(self.repository)
            names = [tag for tag in tags if _TAG.fullmatch(tag)]
            slots = asyncio.Semaphore(_READS_AT_ONCE)
            found = await asyncio.gather(*(self._listed(tag, slots) for tag in names))
            if ManifestUnknown not in found or last == 0:
                break
            await asyncio.sleep(delay_s)
        return [tag for tag in tags if tag not in names], [marker for marker in found if isinstance(marker, Marker)]

    async def _listed(self, tag: str, slots: asyncio.Semaphore) -> Marker | type[ManifestUnknown] | None:
        async with slots:
            try:
                return _read(tag, await self._settled(lambda: self.registry.manifest(self.repository, tag)))
            except (ManifestUnknown, RepositoryUnknown):
                return ManifestUnknown

    async def read(self, tag: str) -> Marker | None:
        """None for one that is gone, and for what is none of ours."""
        try:
            return _read(tag, await self._settled(lambda: self.registry.manifest(self.repository, tag)))
        except (ManifestUnknown, RepositoryUnknown):
            return None

    async def write(self, tag: str, order: str, note: Note, decides: float) -> str:
        """Write a marker, over one of the same release; its manifest's digest."""
        content = _manifest({**note.values, "order": order, "decides": decides})

        async def put() -> None:
            await self.registry.put_blob(self.repository, EMPTY_JSON)
            await self.registry.put_manifest(self.repository, tag, content, OCI_MANIFEST)

        await self._settled(put)
        return digest_of(content)

    def new_tag(self, order: str, markers: Sequence[Marker], quiet_s: float) -> str:
        """A tag for one release: a new one, unless many lie about that could not be deleted `quiet_s` seconds ago."""
        over = [m.tag for m in markers if m.note is None and self.registry.now() - m.ended > quiet_s]
        return random.choice(over) if len(over) >= _POOL else f"slipway-reservation-{order}"  # noqa: S311 (no secret)

    async def replaced(self, digest: str) -> None:
        """Delete the manifest of a marker that was written over. What will not go is a few bytes without a name."""
        if self._deletes:
            with suppress(RegistryError):
                self._deletes = await self._settled(lambda: self.registry.delete(self.repository, digest))

    async def remove(self, tag: str, order: str) -> None:
        """End a release's marker, whatever it says by now, as far as the registry lets it. Safe to run twice."""
        for attempt, delay_s in enumerate(_SETTLES_S):
            there = await self.read(tag)
            if there is None or there.order != order or there.note is None:
                return
            if not self._deletes or not await self._deleted(there, tag_too=attempt > 0):
                break
            await asyncio.sleep(delay_s)
        else:
            return  # it is deleted, and shows a little longer
        self._deletes = False
        over = _manifest({"order": order, "ended": self.registry.now()})
        try:
            await self._settled(lambda: self.registry.put_manifest(self.repository, tag, over, OCI_MANIFEST))
        except TagImmutable:
            return  # where no tag ever changes, the registry guards the version's own as well

    async def _deleted(self, marker: Marker, *, tag_too: bool) -> bool:
        """False if the registry does not delete."""
        # By digest first, which also removes the tag in most registries. In some the tag outlives it, and some want the
        # tag to be deleted before.
        by_digest = await self._settled(lambda: self._delete_whole(marker))
        if by_digest and not tag_too:
            return True
        by_tag = await self._settled(lambda: self.registry.delete(self.repository, marker.tag))
        if by_tag and not by_digest:
            await self._settled(lambda: self._delete_whole(marker))
        return by_digest or by_tag

    async def _delete_whole(self, marker: Marker) -> bool:
        """By digest. Debian's registry deletes the manifest before it looks for its tags, and fails there while another
        tag is written: the tag would stay for ever, on nothing. Restore the marker, so that both go next time.
        """
        try:
            return await self.registry.delete(self.repository, marker.digest)
        except _UNSETTLED:
            with suppress(RegistryError):
                await self.registry.put_manifest(self.repository, marker.tag, marker.raw, OCI_MANIFEST)
            raise

    async def _settled(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again what another release's writing may have disturbed."""
        for delay_s in _SETTLES_S:
            try:
                return await attempt()
            except _UNSETTLED as error:
                if error.retry_after is not None:
                    raise
            await asyncio.sleep(delay_s)
        return await attempt()


def _manifest(values: dict[str, Any]) -> bytes:
    empty = {"mediaType": EMPTY_TYPE, "digest": digest_of(EMPTY_JSON), "size": len(EMPTY_JSON)}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT,
        "config": empty,
        "layers": [empty],
        "annotations": {_ANNOTATION: json.dumps(values)},
    }
    return json.dumps(document).encode()


def _read(tag: str, manifest: Manifest) -> Marker | None:
    document = manifest.document
    annotations = document.get("annotations")
    if document.get("artifactType") != ARTIFACT or not isinstance(annotations, dict):
        return None
    try:
        values = json.loads(annotations[_ANNOTATION])
        order, decides, ended = str(values["order"]), float(values.get("decides", 0)), float(values.get("ended", 0))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    if not (math.isfinite(decides) and math.isfinite(ended)):
        return None
    return Marker(tag, manifest.digest, order, Note.of(values), decides, ended, manifest.raw)

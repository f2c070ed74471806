"""A manifest under a tag that many writers extend, in a registry without conditional writes.

Each writer reads, adds, writes and looks again. Who has read before another's write and writes after that one's look
would undo it unseen. So a writer keeps what lies between its reading and its writing short, and looks only when every
writer that had read before its own write has written.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from prefect_slipway.infra.domain.errors import RegistryProtocolError, TagImmutable, WritesCollide
from prefect_slipway.infra.registry.blobs import Pause, put_manifest, read_manifest, while_others_write
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.listed import entries_of
from prefect_slipway.infra.registry.model import Manifest

Entry: TypeAlias = dict[str, Any]

_ATTEMPTS = 50
# How long other writers may take from reading to writing: four times as long as this one took, and at least this.
_SETTLE_S = 0.2
_SLOWER = 4.0


class SharedTag:
    """One such tag. `kind`: media types of its manifest, the first for a new one. `key`: of its list of entries.

    `pause`: sleeps for some seconds.
    """

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        tag: str,
        *,
        kind: Sequence[str],
        key: str,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._client = client
        self._repository = repository
        self._tag = tag
        self._kind = kind
        self._key = key
        self._pause = pause
        self._has_read = False
        self._seen: Manifest | None = None

    async def read(self) -> Manifest | None:
        """What is there, None for nothing. Raises RegistryProtocolError if it is another kind of manifest."""
        manifest = await while_others_write(
            lambda: read_manifest(self._client, self._repository, self._tag), self._pause
        )
        if manifest is not None and manifest.media_type not in self._kind:
            where = f"{self._client.host}/{self._repository}:{self._tag}"
            raise RegistryProtocolError(
                f"{where} is a manifest of the type {manifest.media_type!r}, not {self._kind[0]!r}",
                action=f"find out what wrote it; the tag {self._tag} is reserved for signatures",
            )
        self._has_read, self._seen = True, manifest
        return manifest

    async def entries(self) -> list[Entry]:
        return entries_of(await self.read(), self._key)

    async def add(
        self,
        entries: Sequence[Entry],
        same: Callable[[Entry, Entry], bool],
        complete: Callable[[Entry], Awaitable[Entry]] | None = None,
    ) -> None:
        """Add what is missing, and return when it stays there.

        `same`: whether two entries are one. `complete`: what else a changed manifest needs, given and returned as a
        document. Raises WritesCollide, TagImmutable and the client's RegistryErrors.
        """
        wrote = False
        window_s = 0.0
        for attempt in range(1, _ATTEMPTS + 1):
            started = time.monotonic()
            # What was read before will do to begin with, if it is compared before the write.
            held = self._seen if attempt == 1 and complete is not None and self._has_read else await self.read()
            listed = entries_of(held, self._key)
            missing = [entry for entry in entries if not any(same(entry, each) for each in listed)]
            if not missing:
                return
            if wrote:  # another writer has undone it; not all of them should try again at the same moment
                await self._pause(random.uniform(0, window_s * min(attempt, 10)))  # noqa: S311 (no secret)
            base = held.document if held is not None else {"schemaVersion": 2, "mediaType": self._kind[0]}
            document = {**base, self._key: [*listed, *missing]}
            if complete is not None:
                document = await complete(document)
            if complete is not None or wrote:
                started = time.monotonic()
                again = await self.read()
                if (again and again.digest) != (held and held.digest):
                    continue
            await self._write(document)
            window_s = time.monotonic() - started
            wrote = True
            await self._pause(max(_SETTLE_S, window_s * _SLOWER))
        raise WritesCollide(f"{self._tag} in {self._client.host}/{self._repository} is overwritten repeatedly")

    async def _write(self, document: Entry) -> None:
        raw = json.dumps(document, separators=(",", ":")).encode()
        manifest = Manifest.parse(raw, document["mediaType"])
        try:
            await while_others_write(
                lambda: put_manifest(self._client, self._repository, manifest, self._tag), self._pause
            )
        except TagImmutable as error:
            raise TagImmutable(
                error.cause, action="exclude the tags sha256-* from the registry's rule against overwriting"
            ) from error

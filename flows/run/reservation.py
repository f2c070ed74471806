"""A version reserved for this run, from its reservation to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.ledger import NOTHING_TOLD, Announcement, Reservation, VersionLedger
from prefect_slipway.infra.domain.version import Version

# A reservation that nobody kept for 15 minutes counts as left behind (prefect_slipway.infra.common.claims).
KEEP_EVERY_S = 240.0

logger = logging.getLogger(__name__)


class ReservedVersion:
    """A ledger's reservation. All methods raise what the ledger raises."""

    def __init__(self, ledger: VersionLedger, reservation: Reservation) -> None:
        self._ledger = ledger
        self._reservation = reservation
        self._over = False

    @property
    def version(self) -> Version:
        return self._reservation.version

    @property
    def noted(self) -> str | None:
        """The digests that an earlier run noted (Claim.digest)."""
        return self._reservation.claim.digest

    async def note(self, digests: Mapping[str, str]) -> None:
        """Record these images, so that a rerun after a crash finishes them instead of building others. `digests`: by
        image."""
        text = " ".join(f"{image}@{digest}" for image, digest in digests.items())
        if text and text != self.noted:
            self._reservation = await self._ledger.note_digest(self._reservation, text)

    async def publish(self, told: Announcement = NOTHING_TOLD) -> str:
        """Publish the version: create the git tag. The images are already public. Returns a warning, or ""."""
        return await self._ledger.publish(self._reservation, told)

    async def leave(self) -> None:
        """Keep the reservation, because some tags may be public: the run that finishes them takes it over."""
        self._over = True
        await self._ledger.leave(self._reservation)

    async def end(self) -> None:
        """Safe to call twice."""
        if not self._over:
            await self._ledger.give_back(self._reservation)
            self._over = True

    async def keep(self, every_s: float) -> None:
        """Renew the reservation every `every_s` seconds until it ends."""
        while not self._over:
            await asyncio.sleep(every_s)
            try:
                await self._ledger.keep(self._reservation)
            except SlipwayError as error:
                # Publishing will show whether it is really lost; the connection may be back by then.
                logger.warning("the reservation of %s could not be kept: %s", self.version, error)


@asynccontextmanager
async def kept_alive(reserved: ReservedVersion | None, every_s: float = KEEP_EVERY_S) -> AsyncIterator[None]:
    """Within: renew the reservation, if there is one, every `every_s` seconds."""
    if reserved is None:
        yield
        return
    keeping = asyncio.create_task(reserved.keep(every_s))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

"""A release that lasts: its version's reservation is kept alive while it builds, or waits for an approval."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect_slipway.flows.run.workshop import Workshop
from prefect_slipway.infra.domain.errors import SlipwayError

# A reservation that nobody kept for 15 minutes counts as left behind (prefect_slipway.infra.common.claims).
KEEP_EVERY_S = 240.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def kept(shop: Workshop, every_s: float = KEEP_EVERY_S) -> AsyncIterator[None]:
    """Within: the reservation, once there is one, is shown to be alive every `every_s` seconds."""
    keeping = asyncio.create_task(_keep(shop, every_s))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep(shop: Workshop, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        if shop.ledger is not None and shop.reservation is not None:
            try:
                await shop.ledger.keep(shop.reservation)
            except SlipwayError as error:
                # Whether it is lost for good shows when it is published; the way to it may be free again by then.
                logger.warning("the reservation of %s could not be kept: %s", shop.reservation.version, error)

"""Clean up: remove the run's builder and its own files, and end the version's reservation, released or not."""

from __future__ import annotations

import logging

from flows.domain.errors import SlipwayError
from flows.tasks.step import step
from flows.workshop import Workshop, workshop

logger = logging.getLogger(__name__)


@step("clean up")
async def clean_up() -> None:
    """Safe to run twice. Reports what would not go instead of hiding the error the release may have ended with.

    The reservation ends last: a run that is killed before is finished by the same command, and not followed by another
    version of the same source.
    """
    shop = workshop()
    try:
        await _remove_builder(shop)
        if shop.checkout is not None:
            await shop.checkout.close(keep_repository=True)
    finally:
        await _end_reservation(shop)
    if shop.checkout is not None:
        await shop.checkout.close()
        shop.checkout = None


async def _remove_builder(shop: Workshop) -> None:
    if shop.kubernetes is not None:
        try:
            gone = await shop.kubernetes.close()
            logger.info("removed from the cluster: %s", ", ".join(gone) or "nothing")
        except SlipwayError as error:
            # What is left belongs to the run's Lease, which expires: `slipway sweep` removes it then.
            logger.error("the builder's objects could not all be removed: %s", error)


async def _end_reservation(shop: Workshop) -> None:
    reservation = shop.reservation
    if shop.ledger is not None and reservation is not None:
        try:
            await shop.ledger.give_back(reservation)
            shop.reservation = None
        except SlipwayError as error:
            logger.warning("the reservation of %s could not be ended: %s", reservation.version, error)

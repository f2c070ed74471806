"""Clean up: end the version's reservation, released or not, and remove the run's own files."""

from __future__ import annotations

import logging

from flows.domain.errors import SlipwayError
from flows.tasks.step import step
from flows.watched.watch import watcher
from flows.workshop import workshop

logger = logging.getLogger(__name__)


@step("clean up")
async def clean_up() -> None:
    """Safe to run twice. Reports what would not go instead of hiding the error the release may have ended with."""
    shop = workshop()
    reservation = shop.reservation
    if shop.ledger is not None and reservation is not None:
        try:
            await shop.ledger.give_back(reservation)
            shop.reservation = None
        except SlipwayError as error:
            logger.warning("the reservation of %s could not be ended: %s", reservation.version, error)
            watcher().left(f"the reservation of {reservation.version}")
    if shop.kubernetes is not None:
        try:
            gone = await shop.kubernetes.close()
            logger.info("removed from the cluster: %s", ", ".join(gone) or "nothing")
        except SlipwayError as error:
            # What is left belongs to the run's Lease, which expires: `slipway sweep` removes it then.
            logger.error("the builder's objects could not all be removed: %s", error)
            watcher().left("objects of the builder in the cluster")
    if shop.checkout is not None:
        await shop.checkout.close()
        shop.checkout = None

"""Clean up: remove the run's builder and its own files, and end the version's reservation, released or not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from prefect_slipway.flows.run.builder import RunBuilder
from prefect_slipway.flows.run.made import Made
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.result import LeftBehind
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.source.checkout import Checkout

logger = logging.getLogger(__name__)


@step("clean up")
async def clean_up(made: Made) -> Sequence[LeftBehind]:
    """Clean up and return what could not be removed, without hiding the release's own error. Safe to run twice.

    The reservation ends last: if the run is killed before, the same command finishes it instead of releasing another
    version of the same source.
    """
    try:
        left = [*await _remove_builder(made.builder), *await _remove_source(made.checkout, keep_repository=True)]
    finally:
        ended = await _end_reservation(made.reserved)
    return [*left, *ended, *await _remove_source(made.checkout)]


async def _remove_builder(builder: RunBuilder) -> list[LeftBehind]:
    if not builder.is_made:
        return []
    try:
        gone = await builder.close()
    except SlipwayError as error:
        # What is left belongs to the run's Lease, which expires: `slipway sweep` removes it then.
        logger.error("the builder's objects could not all be removed: %s", error)
        return [LeftBehind.of(error)]
    logger.info("removed from the cluster: %s", ", ".join(gone) or "nothing")
    return []


async def _remove_source(checkout: Checkout | None, *, keep_repository: bool = False) -> list[LeftBehind]:
    if checkout is None:
        return []
    try:
        await checkout.close(keep_repository=keep_repository)
    except OSError as error:
        what = f"the fetched source could not be removed ({error.strerror})"
        logger.error("%s: %s", what, error.filename)
        # Reported once; the repository next to it is removed all the same.
        return [] if keep_repository else [LeftBehind(what, (str(error.filename),), "remove it yourself")]
    return []


async def _end_reservation(reserved: ReservedVersion | None) -> list[LeftBehind]:
    if reserved is None:
        return []
    try:
        await reserved.end()
    except SlipwayError as error:
        logger.error("the reservation of %s could not be ended: %s", reserved.version, error)
        found = LeftBehind.of(error)
        cause = f"the reservation of {reserved.version} could not be ended: {found.cause}"
        return [replace(found, cause=cause)]
    return []

"""Clean up: remove the run's builder and its own files, and end the version's reservation, released or not."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
from prefect import get_client
from prefect.artifacts import MarkdownArtifact
from prefect.exceptions import PrefectException

from prefect_slipway.flows.planning.image_set import SetResult
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.interrupts import whatever_comes
from prefect_slipway.flows.run.workshop import Workshop, workshop
from prefect_slipway.flows.steps.announce import Course
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.plan import LeftBehind, ReleaseResult, not_cleaned_up

logger = logging.getLogger(__name__)


def cleaned_up_name(result: ReleaseResult | SetResult) -> str | None:
    """The name of a completed run's state, None for the usual one: it says whether something of the run is left."""
    return "NotCleanedUp" if result.left_behind else None


@asynccontextmanager
async def cleaned_up(course: Course) -> AsyncIterator[None]:
    """Within: a release in its workshop. However it ends, it is cleaned up after; what would not go is told on the
    terminal, in the report and by the run's end.
    """
    try:
        yield
    except BaseException as error:
        await whatever_comes(_clean_up(course))
        if course.left_behind and isinstance(error, SlipwayError):
            raise error.adding(not_cleaned_up(course.left_behind)) from error
        raise
    await whatever_comes(_clean_up(course))


async def _clean_up(course: Course) -> None:
    course.left_behind = tuple(await clean_up())
    if course.left_behind:
        watcher().left(course.left_behind)
        if course.report is not None:
            await _tell(course)


async def _tell(course: Course) -> None:
    """The report once more, as there is something to add to it."""
    assert course.report is not None, "a report was recorded"
    course.report = report = course.report.leaving(course.left_behind)
    watcher().show(report)
    artifact = MarkdownArtifact(markdown=report.as_markdown(), key=report.key, description=report.title)
    try:
        async with get_client() as client:
            await artifact.acreate(client)
    except (httpx.HTTPError, PrefectException) as error:
        # The run's end tells it all the same, and must not be lost for it.
        logger.warning("the report could not be written again (%s)", type(error).__name__)


@step("clean up")
async def clean_up() -> list[LeftBehind]:
    """What would not go; it hides no error that the release may have ended with. Safe to run twice.

    The reservation ends last: a run that is killed before is finished by the same command, and not followed by another
    version of the same source.
    """
    shop = workshop()
    try:
        left = [*await _remove_builder(shop), *await _remove_source(shop, keep_repository=True)]
    finally:
        ended = await _end_reservation(shop)
    return [*left, *ended, *await _remove_source(shop)]


async def _remove_builder(shop: Workshop) -> list[LeftBehind]:
    if shop.kubernetes is None:
        return []
    try:
        gone = await shop.kubernetes.close()
    except SlipwayError as error:
        # What is left belongs to the run's Lease, which expires: `slipway sweep` removes it then.
        logger.error("the builder's objects could not all be removed: %s", error)
        return [LeftBehind.of(error)]
    logger.info("removed from the cluster: %s", ", ".join(gone) or "nothing")
    return []


async def _remove_source(shop: Workshop, *, keep_repository: bool = False) -> list[LeftBehind]:
    if shop.checkout is None:
        return []
    try:
        await shop.checkout.close(keep_repository=keep_repository)
    except OSError as error:
        what = f"the fetched source could not be removed ({error.strerror})"
        logger.error("%s: %s", what, error.filename)
        # Told once: the repository beside it is tried again all the same.
        return [] if keep_repository else [LeftBehind(what, (str(error.filename),), "remove it yourself")]
    if not keep_repository:
        shop.checkout = None
    return []


async def _end_reservation(shop: Workshop) -> list[LeftBehind]:
    reservation = shop.reservation
    if shop.ledger is None or reservation is None:
        return []
    try:
        await shop.ledger.give_back(reservation)
    except SlipwayError as error:
        logger.error("the reservation of %s could not be ended: %s", reservation.version, error)
        found = LeftBehind.of(error)
        cause = f"the reservation of {reservation.version} could not be ended: {found.cause}"
        return [replace(found, cause=cause)]
    shop.reservation = None
    return []

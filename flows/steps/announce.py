"""Announce: a release's event, by which deployments are chained to it, and its failure's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect_slipway.flows.reporting.events import IMAGE_RELEASED, RELEASE_FAILED, announce
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.stopwatch import Stopwatch
from prefect_slipway.infra.domain.errors import Interrupted, SlipwayError
from prefect_slipway.infra.domain.plan import LeftBehind, ReleasePlan, ReleaseResult

if TYPE_CHECKING:
    from prefect_slipway.flows.reporting.report import Report
    from prefect_slipway.flows.reporting.set_report import SetReport


@dataclass
class Course:
    """How far a release has come: what is to be told of it however it ends. `report`: as it was recorded last;
    `left_behind`: what the clean-up could not remove.
    """

    request: ReleaseRequest
    steps_s: dict[str, float]
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    plan: ReleasePlan | None = None
    report: Report | SetReport | None = None
    left_behind: tuple[LeftBehind, ...] = ()

    @property
    def duration_s(self) -> float:
        return self.stopwatch.seconds

    def times(self) -> dict[str, Any]:
        """The part of a payload that says how long it took, in seconds."""
        return {"duration_s": self.duration_s, "steps_s": dict(self.steps_s)}


async def announce_release(course: Course, result: ReleaseResult) -> None:
    """To be called when the image is public under its version, and only then."""
    assert course.plan is not None, "what is released was planned"
    payload = {
        "image": result.image,
        "reference": result.reference,
        "digest": result.digest,
        "version": result.version,
        "revision": result.revision,
        "tags": list(result.tags),
        "previous_version": course.plan.previous_version,
        "steps": result.steps,
        "cached_steps": result.cached_steps,
        **course.times(),
    }
    await announce(IMAGE_RELEASED, result.image, payload)


async def announce_failure(course: Course, error: BaseException) -> None:
    """`cause`: the error's name alone; its text stays with the run."""
    plan = course.plan
    image = plan.image if plan is not None else course.request.image
    payload = {
        "cause": cause_of(error),
        "image": image,
        "version": plan.version if plan is not None else None,
        "revision": plan.source.revision if plan is not None else None,
        **course.times(),
    }
    await announce(RELEASE_FAILED, image or course.request.source, payload)


def cause_of(error: BaseException) -> str:
    """The name of a cause, for events and metrics; an interruption has one as well."""
    if isinstance(error, Exception):
        return error.name if isinstance(error, SlipwayError) else type(error).__name__
    return Interrupted.__name__

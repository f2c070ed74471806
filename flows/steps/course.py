"""How far a release has come: what to report about it, however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from prefect.runtime import flow_run

from prefect_slipway.flows.reporting.report import Report
from prefect_slipway.flows.reporting.several import build_times
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.interrupts import named, whatever_comes
from prefect_slipway.flows.run.made import Made
from prefect_slipway.flows.run.stopwatch import Stopwatch
from prefect_slipway.flows.steps.announce import announce_failure
from prefect_slipway.flows.steps.build import Builds
from prefect_slipway.flows.steps.cleanup import clean_up
from prefect_slipway.flows.steps.record import record, record_again
from prefect_slipway.flows.steps.step import timed_steps
from prefect_slipway.flows.values.forge import ForgeOutcome
from prefect_slipway.flows.values.gates import GateOutcome
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import (
    LeftBehind,
    ReleasedImage,
    ReleaseResult,
    StepTime,
    Tagged,
    VerifiedImage,
    not_cleaned_up,
)
from prefect_slipway.infra.domain.errors import SlipwayError

if TYPE_CHECKING:
    from prefect_slipway.flows.steps.deploy_targets import PlannedTarget
    from prefect_slipway.flows.values.gitops import GitWrite


def cleaned_up_name(result: ReleaseResult) -> str | None:
    """The name of a completed run's state, which tells whether something was left behind, or a deploy target does not
    have the image; None for the usual one."""
    if result.left_behind:
        return "NotCleanedUp"
    return "NotDeployed" if result.not_deployed else None


class Course:
    """Filled in as the release continues. `steps_s`: the seconds that each step took."""

    def __init__(self, request: ReleaseRequest, steps_s: dict[str, float]) -> None:
        self.request = request
        self.steps_s = steps_s
        self.stopwatch = Stopwatch()
        self.plan: ReleasePlan | None = None
        self.builds: Builds | None = None
        self.verified: tuple[VerifiedImage, ...] = ()
        self.gates: tuple[GateOutcome, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.signed: tuple[str, ...] = ()
        self.tagged: tuple[Tagged, ...] = ()
        self.pull: tuple[str, ...] = ()
        self.verify: tuple[str, ...] = ()
        self.forge: ForgeOutcome | None = None
        self.targets: Sequence[PlannedTarget] = ()
        self.deploys: Sequence[GitWrite] = ()
        self.of_components: ReleaseResult | None = None
        self.left_behind: tuple[LeftBehind, ...] = ()
        self.recorded: Report | None = None

    @property
    def references(self) -> list[str]:
        """The references of the public images."""
        return [ReleasedImage.of(image).reference for image in self.tagged]

    def tested(self, outcomes: tuple[GateOutcome, ...]) -> None:
        """Note what the gates answered."""
        self.gates = outcomes

    def result(self) -> ReleaseResult:
        """The images that are public so far."""
        if self.of_components is not None:
            return self.of_components
        plan = self._planned
        images = tuple(map(ReleasedImage.of, self.tagged))
        only = images[0] if len(images) == 1 else None
        built = list(self.builds.built.values()) if self.builds is not None and plan.only is not None else []
        caches = tuple(self.builds.caches.values()) if self.builds is not None else ()
        return ReleaseResult(
            image=plan.name,
            released=bool(images),
            reason=plan.why,
            version=plan.version,
            tags=only.tags if only is not None else (),
            digest=only.digest if only is not None else None,
            reference=only.reference if only is not None else None,
            revision=plan.source.revision,
            flow_run_id=str(flow_run.id),
            ui_url=flow_run.ui_url,
            duration_s=self.stopwatch.seconds,
            steps=sum(image.steps for image in built),
            cached_steps=sum(image.cached_steps for image in built),
            size=only.size if only is not None else 0,
            source=plan.source.name,
            images=images,
            warnings=(
                *self.warnings,
                *(warning for image in images for warning in image.warnings),
                *([self.forge.warning] if self.forge is not None and self.forge.warning else []),
                *(cache.warning for cache in caches if cache.warning),
            ),
            caches=caches,
            left_behind=self.left_behind,
            platforms=only.platforms if only is not None else {},
            signed_by=self.signed,
            source_policy=plan.source_policy,
            gates=self.gates,
            forge=self.forge,
            deploys=tuple(self.deploys),
            notes=plan.notes.markdown if plan.notes is not None and images else None,
        )

    async def record(self, error: BaseException | None = None) -> None:
        """Record the report. `error`: the release's failure."""
        plan, builds = self._planned, self.builds
        built = tuple(builds.built.values()) if builds is not None else ()
        self.recorded = Report(
            plan,
            self.result(),
            built,
            self.verified,
            self._timeline(),
            error,
            builds.failed if builds is not None else None,
            pull=self.pull,
            verify=self.verify,
        )
        self.recorded = await record(self.recorded)

    async def record_more(self) -> None:
        """Add to the report what became of the release on a forge, of deploy targets and of the caches; nothing if
        there are none."""
        exports = self.builds is not None and self.builds.exports
        if self.recorded is not None and (exports or self.forge is not None or self.deploys):
            self.recorded = replace(self.recorded, result=self.result())
            await record_again(self.recorded)

    @asynccontextmanager
    async def failure_recorded(self) -> AsyncIterator[None]:
        """Within: every failure is reported."""
        try:
            yield
        except BaseException as error:
            await self.record(named(error))
            raise

    def _timeline(self) -> tuple[StepTime, ...]:
        if self.builds is None:
            return ()
        if self._planned.only is None:
            return build_times(list(self.builds.built.values()))
        return tuple(step for recorder in self.builds.recorders.values() for step in recorder.timeline())

    @property
    def _planned(self) -> ReleasePlan:
        assert self.plan is not None, "a plan exists"
        return self.plan


@asynccontextmanager
async def told(request: ReleaseRequest) -> AsyncIterator[Course]:
    """Within: a release, whose failure is announced."""
    with timed_steps() as steps_s:
        course = Course(request, steps_s)
        try:
            yield course
        except BaseException as error:
            seconds = course.stopwatch.seconds
            await whatever_comes(announce_failure(request, course.plan, error, seconds, steps_s, course.gates))
            raise


@asynccontextmanager
async def cleaned_up(course: Course, made: Made) -> AsyncIterator[None]:
    """Within: a release. Clean up however it ends; leftovers are shown on the terminal, in the report and in the
    run's final state.
    """
    try:
        yield
    except BaseException as error:
        await whatever_comes(_clean_up(course, made))
        if course.left_behind and isinstance(error, SlipwayError):
            raise error.adding(not_cleaned_up(course.left_behind)) from error
        raise
    await whatever_comes(_clean_up(course, made))


async def _clean_up(course: Course, made: Made) -> None:
    course.left_behind = tuple(await clean_up(made))
    if course.left_behind:
        watcher().left(course.left_behind)
        if course.recorded is not None:
            course.recorded = course.recorded.leaving(course.left_behind)
            await record_again(course.recorded)

"""A fan-out: several images of one source as one release, built in the order of their bases, public all or none."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

from prefect import flow
from prefect.runtime import flow_run

from prefect_slipway.flows.bake.targets import TargetSet
from prefect_slipway.flows.planning.image_set import MadeImage, SetImage, SetPlan, SetResult
from prefect_slipway.flows.reporting.pull_commands import pull_commands
from prefect_slipway.flows.reporting.set_report import SetReport, plan_as_markdown, plan_as_text
from prefect_slipway.flows.request.image_set import SetRequest
from prefect_slipway.flows.run.after_crash import remove_what_is_left
from prefect_slipway.flows.run.approval import Question, approved
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.interrupts import named, whatever_comes
from prefect_slipway.flows.run.keepalive import kept
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.run.workshop import open_workshop, workshop
from prefect_slipway.flows.steps.announce import Course, announce_failure, announce_release
from prefect_slipway.flows.steps.approve import look_again
from prefect_slipway.flows.steps.cleanup import cleaned_up, cleaned_up_name
from prefect_slipway.flows.steps.credentials import read_credentials
from prefect_slipway.flows.steps.fanout import (
    build_image,
    check_rights,
    check_tags,
    name_set_run,
    plan_set_version,
    read_targets,
    record_set,
    show_set_plan,
    tag_all,
)
from prefect_slipway.flows.steps.fetch import fetch_source
from prefect_slipway.flows.steps.provision import provision_builder
from prefect_slipway.flows.steps.step import timed_steps, together
from prefect_slipway.flows.steps.tag import Tagged, becoming_public
from prefect_slipway.flows.steps.verify import verify
from prefect_slipway.infra.domain.plan import BuilderFacts, BuiltImage, ReleaseResult, VerifiedImage
from prefect_slipway.infra.domain.reference import ImageReference


@read_before_recorded
@flow(
    name="release-set",
    flow_run_name="release set {request.called}",
    persist_result=True,
    result_serializer="json",
    on_crashed=[remove_what_is_left],
    on_cancellation=[remove_what_is_left],
)
async def release_set(request: SetRequest) -> SetResult:
    """Release several container images of one source under one version: all of them, or none."""
    about = About("release", f"set {request.source}", f"{request.called} was not released", request.shown)
    return await as_run(lambda: _announced(request), about, lambda result: result.summary, name=cleaned_up_name)


async def _announced(request: SetRequest) -> SetResult:
    with timed_steps() as steps_s:
        course = Course(request.as_release(), steps_s)
        try:
            return await _in_workshop(request, course)
        except BaseException as error:
            await whatever_comes(announce_failure(course, error))
            raise


async def _in_workshop(request: SetRequest, course: Course) -> SetResult:
    async with open_workshop(course.request) as shop, cleaned_up(course), kept(shop):
        result = await _release(request, course)
    return replace(result, left_behind=course.left_behind)


async def _release(request: SetRequest, course: Course) -> SetResult:
    await fetch_source()
    targets, images = await read_targets(request)
    _, plan = await together(read_credentials(), plan_set_version(request, targets, images))
    await name_set_run(plan)
    if plan.nothing_to_release:
        result = _result(course, plan)
        course.report = SetReport(plan, result)
        await record_set(course.report)
        return result

    await show_set_plan(plan)
    builds = _Builds(request, targets, plan)
    try:
        if request.approval:
            await approved(Question(plan_as_markdown(plan), plan_as_text(plan)), request.approval_timeout_s)
            await look_again(plan.source)
        made, _ = await together(builds.all(await provision_builder()), check_rights(plan))
        await check_tags(plan, made)
        # From here on the release becomes public: an interruption is too late.
        tags = await whatever_comes(_tag(plan, made))
    except BaseException as error:
        told = named(error)
        course.report = SetReport(plan, _result(course, plan), tuple(builds.made.values()), told, builds.failed)
        await record_set(course.report)
        raise
    result = _result(course, plan, made, tags)
    await whatever_comes(together(*(announce_release(_of_one(course, plan, one), one) for one in result.images)))
    pull = await whatever_comes(pull_commands(workshop(), [one.reference or one.image for one in result.images]))
    course.report = SetReport(plan, result, made, pull=pull)
    await whatever_comes(record_set(course.report))
    return result


async def _tag(plan: SetPlan, made: tuple[MadeImage, ...]) -> dict[str, Tagged]:
    async with becoming_public(*((one.image.plan, one.built.digest) for one in made if one.image.public)):
        return await tag_all(plan, made)


class _Builds:
    """The builds of a set on one builder: each begins when its bases are verified, so many at a time as are allowed.

    `made`: what is done, by target; `failed`: the first target whose build failed.
    """

    def __init__(self, request: SetRequest, targets: TargetSet, plan: SetPlan) -> None:
        self._request = request
        self._targets = targets
        self._plan = plan
        self._slots = asyncio.Semaphore(request.parallel)
        self._building: dict[str, asyncio.Task[MadeImage]] = {}
        self._started = time.monotonic()
        self.made: dict[str, MadeImage] = {}
        self.failed: str | None = None

    async def all(self, builder: BuilderFacts) -> tuple[MadeImage, ...]:
        """Every image, each after its bases; the first failure ends the others and is raised as it is."""
        to_build = self._plan.to_build()
        self._started = time.monotonic()
        for image in self._plan.images:
            if image in to_build or image.public:
                self._building[image.target] = asyncio.create_task(self._one(image, builder, build=image in to_build))
        await together(*self._building.values())
        return tuple(self.made[image.target] for image in self._plan.images if image.target in self.made)

    async def _one(self, image: SetImage, builder: BuilderFacts, *, build: bool) -> MadeImage:
        bases = {base: _by_digest(await self._building[base]) for base in image.bases if build}
        async with self._slots:
            start_s = self._since()
            try:
                built, verified = await (self._build(image, bases, builder) if build else _found(image))
            except Exception:
                self.failed = self.failed or image.target
                raise
        made = MadeImage(image, built, verified, start_s, self._since())
        self.made[image.target] = made
        return made

    async def _build(
        self, image: SetImage, bases: Mapping[str, str], builder: BuilderFacts
    ) -> tuple[BuiltImage, VerifiedImage]:
        named = build_image.with_options(task_run_name=f"build {image.target}")
        return await named(self._request, self._targets.targets[image.target], image, bases, builder)

    def _since(self) -> float:
        return round(time.monotonic() - self._started, 3)


async def _found(image: SetImage) -> tuple[BuiltImage, VerifiedImage]:
    """What an earlier run had pushed."""
    digest = image.plan.existing_digest
    assert digest is not None, "what is not built was there"
    named = verify.with_options(task_run_name=f"verify {image.target}")
    return BuiltImage(digest, 0, 0), await named(image.plan, digest)


def _by_digest(made: MadeImage) -> str:
    return str(ImageReference.parse(made.image.plan.image).with_digest(made.built.digest))


def _of_one(course: Course, plan: SetPlan, result: ReleaseResult) -> Course:
    """The course as that of one image, which its event tells of."""
    of_image = next(image.plan for image in plan.public if image.plan.image == result.image)
    return Course(course.request, course.steps_s, course.stopwatch, of_image)


def _result(
    course: Course,
    plan: SetPlan,
    made: tuple[MadeImage, ...] = (),
    tags: Mapping[str, Tagged] | None = None,
) -> SetResult:
    return SetResult(
        source=plan.source.name,
        released=bool(tags),
        reason=plan.why,
        version=plan.version,
        images=tuple(_result_of(course, plan, one, tags) for one in made if one.image.public) if tags else (),
        revision=plan.source.revision,
        flow_run_id=str(flow_run.id),
        ui_url=flow_run.ui_url,
        duration_s=course.duration_s,
    )


def _result_of(course: Course, plan: SetPlan, made: MadeImage, tags: Mapping[str, Tagged]) -> ReleaseResult:
    image = made.image.plan
    return ReleaseResult(
        image=image.image,
        released=True,
        reason=plan.why,
        version=plan.version,
        tags=tags[made.image.target].names,
        warnings=tags[made.image.target].warnings,
        digest=made.built.digest,
        reference=str(ImageReference.parse(image.reference).with_digest(made.built.digest)),
        revision=plan.source.revision,
        flow_run_id=str(flow_run.id),
        ui_url=flow_run.ui_url,
        duration_s=course.duration_s,
        steps=made.built.steps,
        cached_steps=made.built.cached_steps,
        size=made.verified.size,
    )

"""A release: source to pushed, versioned, verified and recorded image. The story; each step is a file in `tasks`."""

from dataclasses import replace

from prefect import flow
from prefect.runtime import flow_run

from prefect_slipway.flows.reporting.pull_commands import pull_commands
from prefect_slipway.flows.reporting.report import Report
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.after_crash import remove_what_is_left
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.interrupts import named, whatever_comes
from prefect_slipway.flows.run.keepalive import kept
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.run.workshop import open_workshop, workshop
from prefect_slipway.flows.steps.announce import Course, announce_failure, announce_release
from prefect_slipway.flows.steps.approve import wait_for_approval
from prefect_slipway.flows.steps.build import build_and_push
from prefect_slipway.flows.steps.cleanup import cleaned_up, cleaned_up_name
from prefect_slipway.flows.steps.credentials import read_credentials
from prefect_slipway.flows.steps.fetch import fetch_source
from prefect_slipway.flows.steps.provision import provision_builder
from prefect_slipway.flows.steps.record import name_run, record, show_plan
from prefect_slipway.flows.steps.step import timed_steps, together
from prefect_slipway.flows.steps.tag import Tagged, becoming_public, tag
from prefect_slipway.flows.steps.verify import verify
from prefect_slipway.flows.steps.version import plan_version
from prefect_slipway.infra.domain.plan import BuilderFacts, BuiltImage, ReleasePlan, ReleaseResult, VerifiedImage
from prefect_slipway.infra.domain.reference import ImageReference


# The result is kept as JSON: a deploy that is chained to this run reads it, and nothing has to be unpickled.
@read_before_recorded
@flow(
    name="release",
    flow_run_name="release {request.called}",
    persist_result=True,
    result_serializer="json",
    on_crashed=[remove_what_is_left],
    on_cancellation=[remove_what_is_left],
)
async def release(request: ReleaseRequest) -> ReleaseResult:
    """Release a container image: build it with BuildKit, push it under the next semantic version, record the run."""
    about = About("release", request.image or request.source, f"{request.called} was not released", request.shown)
    return await as_run(lambda: _announced(request), about, lambda result: result.summary, name=cleaned_up_name)


async def _announced(request: ReleaseRequest) -> ReleaseResult:
    with timed_steps() as steps_s:
        course = Course(request, steps_s)
        try:
            return await _in_workshop(course)
        except BaseException as error:
            await whatever_comes(announce_failure(course, error))
            raise


async def _in_workshop(course: Course) -> ReleaseResult:
    async with open_workshop(course.request) as shop, cleaned_up(course), kept(shop):
        result = await _release(course)
    return replace(result, left_behind=course.left_behind)


async def _release(course: Course) -> ReleaseResult:
    request = course.request
    # Where it may come to nothing, or has to wait for people, no builder is made before that is known.
    builder_first = not (request.only_new or request.approval)
    builder: BuilderFacts | None = None
    if builder_first:
        builder, _, _ = await together(provision_builder(), fetch_source(), read_credentials())
    else:
        await together(fetch_source(), read_credentials())
    course.plan = plan = await plan_version()
    await name_run(plan)
    if plan.nothing_to_release:
        result = _result(course, plan)
        course.report = Report(plan, result)
        await record(course.report)
        return result

    await show_plan(plan)
    built: BuiltImage | None = None
    verified: VerifiedImage | None = None
    try:
        if request.approval:
            await wait_for_approval(plan)
        built = await build_and_push(plan, builder or await provision_builder())
        verified = await verify(plan, built.digest)
        # From here on the release becomes public: an interruption is too late.
        tagged = await whatever_comes(_make_public(plan, verified))
    except BaseException as error:
        recorder = workshop().recorder
        timeline = recorder.timeline() if recorder else ()
        course.report = Report(plan, _result(course, plan, built), built, verified, timeline, named(error))
        await record(course.report)
        raise
    result = _result(course, plan, built, verified, tagged)
    await whatever_comes(announce_release(course, result))
    pull = await whatever_comes(pull_commands(workshop(), [result.reference or plan.reference]))
    course.report = Report(plan, result, built, verified, built.timeline, pull=pull)
    await whatever_comes(record(course.report))
    return result


async def _make_public(plan: ReleasePlan, image: VerifiedImage) -> Tagged:
    async with becoming_public((plan, image.digest)):
        return await tag(plan, image)


def _result(
    course: Course,
    plan: ReleasePlan,
    built: BuiltImage | None = None,
    verified: VerifiedImage | None = None,
    tagged: Tagged | None = None,
) -> ReleaseResult:
    released = tagged is not None
    return ReleaseResult(
        image=plan.image,
        released=released,
        reason=plan.why,
        version=plan.version,
        tags=tagged.names if tagged is not None else (),
        warnings=tagged.warnings if tagged is not None else (),
        digest=built.digest if built and released else None,
        reference=(str(ImageReference.parse(plan.reference).with_digest(built.digest)) if built and released else None),
        revision=plan.source.revision,
        flow_run_id=str(flow_run.id),
        ui_url=flow_run.ui_url,
        duration_s=course.duration_s,
        steps=built.steps if built else 0,
        cached_steps=built.cached_steps if built else 0,
        size=verified.size if verified else 0,
    )

"""A release: source to pushed, versioned, verified and recorded image. The story; each step is a file in `tasks`."""

from __future__ import annotations

import time
from typing import cast

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.domain.plan import BuiltImage, ReleasePlan, ReleaseResult, VerifiedImage
from flows.domain.reference import ImageReference
from flows.interrupts import terminated_like_interrupted, whatever_comes
from flows.report import Report
from flows.request import ReleaseRequest
from flows.tasks.build import build_and_push
from flows.tasks.cleanup import clean_up
from flows.tasks.credentials import read_credentials
from flows.tasks.fetch import fetch_source
from flows.tasks.provision import provision_builder
from flows.tasks.record import name_run, record, show_plan
from flows.tasks.step import together
from flows.tasks.tag import tag
from flows.tasks.verify import verify
from flows.tasks.version import plan_version
from flows.workshop import open_workshop, workshop


# The result is kept as JSON: a deploy that is chained to this run reads it, and nothing has to be unpickled.
@flow(name="release", flow_run_name="release {request.source}", persist_result=True, result_serializer="json")
async def release(request: ReleaseRequest) -> ReleaseResult:
    """Release a container image: build it with BuildKit, push it under the next semantic version, record the run."""
    with terminated_like_interrupted():
        async with open_workshop(request):
            try:
                result = await _release()
            finally:
                await whatever_comes(clean_up())
    # Prefect takes a state for the run's end and gives its data to the caller: the UI shows what came of it.
    return cast(ReleaseResult, Completed(message=result.summary, data=result))


async def _release() -> ReleaseResult:
    started = time.monotonic()
    builder, _, _ = await together(provision_builder(), fetch_source(), read_credentials())
    plan = await plan_version()
    await name_run(plan)
    if plan.nothing_to_release:
        result = _result(plan, started)
        await record(Report(plan, result))
        return result

    await show_plan(plan)
    built: BuiltImage | None = None
    verified: VerifiedImage | None = None
    try:
        built = await build_and_push(plan, builder)
        verified = await verify(plan, built.digest)
        # From here on the release becomes public: an interruption is too late.
        tags = await whatever_comes(tag(plan, verified))
    except BaseException as error:
        recorder = workshop().recorder
        timeline = recorder.timeline() if recorder else ()
        await record(Report(plan, _result(plan, started, built), built, verified, timeline, error))
        raise
    result = _result(plan, started, built, verified, tags)
    await whatever_comes(record(Report(plan, result, built, verified, built.timeline)))
    return result


def _result(
    plan: ReleasePlan,
    started: float,
    built: BuiltImage | None = None,
    verified: VerifiedImage | None = None,
    tags: list[str] | None = None,
) -> ReleaseResult:
    released = bool(tags)
    return ReleaseResult(
        image=plan.image,
        released=released,
        reason=plan.why,
        version=plan.version,
        tags=tuple(tags or ()),
        digest=built.digest if built and released else None,
        reference=(str(ImageReference.parse(plan.reference).with_digest(built.digest)) if built and released else None),
        revision=plan.source.revision,
        flow_run_id=str(flow_run.id),
        ui_url=flow_run.ui_url,
        duration_s=round(time.monotonic() - started, 3),
        steps=built.steps if built else 0,
        cached_steps=built.cached_steps if built else 0,
        size=verified.size if verified else 0,
    )

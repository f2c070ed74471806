"""The story of a rollout, as a deploy and a rollback share it: look, ask, set by digest, watch, confirm or go back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect_slipway.flows.reporting.events import (
    DEPLOY_FAILED,
    IMAGE_DEPLOYED,
    IMAGE_ROLLED_BACK,
    NOT_CHANGED,
    announce,
)
from prefect_slipway.flows.rollouts.open_deploy import OpenDeploy
from prefect_slipway.flows.rollouts.values import DeployedImage, DeployResult
from prefect_slipway.flows.run.approval import approved
from prefect_slipway.flows.run.interrupts import named, whatever_comes
from prefect_slipway.flows.run.stopwatch import Stopwatch
from prefect_slipway.flows.steps.announce import cause_of
from prefect_slipway.flows.steps.rollout import (
    check_required,
    check_rollout,
    confirm,
    look,
    place_of,
    put_back,
    run_id,
    set_image,
    tell_outcome,
    watch,
    watch_back,
    write_pull_secret,
)
from prefect_slipway.flows.steps.rollout_course import RolloutCourse
from prefect_slipway.infra.domain.errors import ApprovalRefused, ObjectMissing, RolloutSuperseded, SlipwayError
from prefect_slipway.infra.kubernetes.workloads.workload import WorkloadState


@asynccontextmanager
async def told(deploy: OpenDeploy, image: str | None) -> AsyncIterator[RolloutCourse]:
    """Within: a deploy. Whatever ends it is an event about the image (REGISTRY/REPOSITORY, None where it is not known
    yet). A rejection is not a failure."""
    course = RolloutCourse(deploy)
    try:
        yield course
    except ApprovalRefused:
        raise
    except BaseException as error:
        subject = course.image.name if course.image is not None else image
        if subject is not None:
            facts = course.facts() if course.before is not None else {"image": subject}
            facts |= {"workload": str(deploy.workload.name), "run": run_id(), "cause": cause_of(error)}
            await whatever_comes(announce(DEPLOY_FAILED, subject, facts | {"outcome": course.outcome or ""}))
        raise


async def roll_out(course: RolloutCourse, image: DeployedImage, *, rolling_back: bool = False) -> DeployResult:
    """Bring the workload to this image. Where it is rolled out already, nothing is written.

    `rolling_back`: it is an earlier release, and what ran until now is not to be promoted any more. Raises the
    RolloutError that says why it failed and what became of it, and what cluster, Vault and approval raise.
    """
    deploy = course.deploy
    course.image = image
    course.before = before = await look(deploy)
    await course.name_run(rolling_back=rolling_back)
    if before.image == image.reference and before.confirmed:
        result = course.result(changed=False)
        await course.record(result)
        return result
    course.verified = await check_required(
        deploy.registries, image, deploy.request.require, [place_of(deploy.workload.api)]
    )
    await check_rollout(deploy, image, before)
    plan = course.plan(rolling_back=rolling_back)
    await course.show_plan(plan)
    if deploy.request.approval and before.image != image.reference:
        await approved(plan, deploy.request.approval_timeout_s)
    try:
        secret = await write_pull_secret(deploy, image, before, course.changes, rolling_back=rolling_back)
        written = await set_image(deploy, image, secret, course.changes, rolling_back=rolling_back)
        await watch(deploy, written)
    except BaseException as error:
        course.outcome = await whatever_comes(_undo(course, image, before, error))
        if course.outcome is not None:
            tell_outcome(course.outcome)
        await whatever_comes(course.record(course.result(changed=False), _with_outcome(named(error), course.outcome)))
        raise _with_outcome(error, course.outcome) from error
    # It is running: an interruption comes too late to undo that.
    result = course.result(changed=True)
    await whatever_comes(_finish(course, image, result, rolling_back=rolling_back))
    return result


async def _finish(course: RolloutCourse, image: DeployedImage, result: DeployResult, *, rolling_back: bool) -> None:
    await confirm(course.deploy, image, rolling_back=rolling_back)
    await course.record(result)
    event = IMAGE_ROLLED_BACK if rolling_back else IMAGE_DEPLOYED
    await announce(event, image.name, course.facts() | {"duration_s": result.duration_s})


async def _undo(course: RolloutCourse, image: DeployedImage, before: WorkloadState, error: BaseException) -> str | None:
    """Return to the previous image if requested and possible; returns a sentence about the outcome, None if
    nothing had been changed.

    An interrupted deploy sets the earlier image back and does not watch it come back: whoever interrupts gives it
    seconds, and an image that nobody saw get ready must not stay.
    """
    deploy, secret = course.deploy, course.changes.pull_secret
    try:
        written = course.changes.workload or await _own_write(deploy, image)
        if written is None:
            if secret is not None:
                await secret.restore()
            return None
    except SlipwayError as trouble:
        return f"the changes could not be read ({trouble.name}: {trouble.cause})"
    good = before.good
    if isinstance(error, RolloutSuperseded | ObjectMissing):
        return NOT_CHANGED
    if not deploy.request.rollback:
        return "the image stays, because no rollback was requested"
    if good == image.reference:
        return "the image stays, because the previous image is unknown"
    why, failing = cause_of(error), Stopwatch()
    try:
        back = await put_back(deploy, written, secret, good, why)
        if isinstance(error, asyncio.CancelledError):
            return f"{good} was restored, but its rollout was not watched"
        await watch_back(deploy, back)
    except SlipwayError as trouble:
        return f"the rollback to {good} failed as well ({trouble.name}: {trouble.cause})"
    await announce(
        IMAGE_ROLLED_BACK, image.name, course.facts() | {"to": good, "cause": why, "duration_s": failing.seconds}
    )
    return f"rolled back to {good}, which is running again"


async def _own_write(deploy: OpenDeploy, image: DeployedImage) -> WorkloadState | None:
    """What this run wrote without seeing the answer: an interruption may come between the two."""
    there = await deploy.workload.read()
    return there if there.image == image.reference and there.run == run_id() else None


def _with_outcome(error: BaseException, outcome: str | None) -> BaseException:
    """The same cause with what became of it, so that the run's final state says both."""
    if outcome is None or not isinstance(error, SlipwayError):
        return error
    return error.adding(outcome)

"""The story of a rollout, as a deploy and a rollback share it: look, ask, set by digest, watch, confirm or go back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from prefect import get_client
from prefect.artifacts import MarkdownArtifact
from prefect.runtime import flow_run

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.events import DEPLOY_FAILED, IMAGE_DEPLOYED, IMAGE_ROLLED_BACK, announce
from prefect_slipway.flows.reporting.links import registry_link
from prefect_slipway.flows.reporting.origin import origin_of_this_run
from prefect_slipway.flows.rollouts.report import DeployReport
from prefect_slipway.flows.rollouts.values import DeployedImage, DeployResult
from prefect_slipway.flows.rollouts.workshop import deploy_workshop
from prefect_slipway.flows.run.approval import Question, approved
from prefect_slipway.flows.run.flow_run import has_report
from prefect_slipway.flows.run.interrupts import named, whatever_comes
from prefect_slipway.flows.run.stopwatch import Stopwatch
from prefect_slipway.flows.steps.announce import cause_of
from prefect_slipway.flows.steps.record import show_links
from prefect_slipway.flows.steps.rollout import (
    check_rollout,
    confirm,
    look,
    put_back,
    run_id,
    set_image,
    tell_outcome,
    watch,
    watch_back,
    write_pull_secret,
)
from prefect_slipway.infra.domain.errors import ApprovalRefused, ObjectMissing, RolloutSuperseded, SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference


async def roll_out(image: DeployedImage, *, rolling_back: bool = False) -> DeployResult:
    """Bring the workload to this image. Where it is rolled out already, nothing is written.

    `rolling_back`: it is an earlier release, and what ran until now is not to be promoted any more. Raises the
    RolloutError that says why it failed and what became of it, and what cluster, Vault and approval raise.
    """
    stopwatch = Stopwatch()
    shop = deploy_workshop()
    shop.image = image
    previous = await look()
    await _name_run(image)
    assert shop.before is not None, "it was looked at"
    if shop.before.image == image.reference and shop.before.confirmed:
        result = _result(image, stopwatch, changed=False)
        await _record(DeployReport(result))
        return result
    await check_rollout(image)
    plan = _plan(image, rolling_back=rolling_back)
    await _show("deploy-plan", plan.markdown, f"Plan of {image.shown}")
    if shop.request.approval and previous != image.reference:
        await approved(plan, shop.request.approval_timeout_s)
    try:
        secret = await write_pull_secret(image, rolling_back=rolling_back)
        await set_image(image, secret, rolling_back=rolling_back)
        await watch(image)
    except BaseException as error:
        shop.outcome = await whatever_comes(_undo(image, error))
        if shop.outcome is not None:
            tell_outcome(shop.outcome)
        told = _with_outcome(named(error), shop.outcome)
        await whatever_comes(_record(DeployReport(_result(image, stopwatch, changed=False), shop.outcome, told)))
        raise _with_outcome(error, shop.outcome) from error
    # It runs: an interruption is too late to undo that.
    result = _result(image, stopwatch, changed=True)
    await whatever_comes(_finish(image, result, rolling_back=rolling_back))
    return result


@asynccontextmanager
async def failures_announced(image: str | None) -> AsyncIterator[None]:
    """Within a deploy: whatever ends it is an event about the image (REGISTRY/REPOSITORY, None where it is not known
    yet). A refusal is no failure."""
    try:
        yield
    except ApprovalRefused:
        raise
    except BaseException as error:
        shop = deploy_workshop()
        subject = shop.image.name if shop.image is not None else image
        if subject is not None:
            cause = cause_of(error)
            known = _payload(shop.image) if shop.image is not None and shop.before is not None else {"image": subject}
            told = known | {"workload": str(shop.workload.name), "run": run_id(), "cause": cause}
            await whatever_comes(announce(DEPLOY_FAILED, subject, told | {"outcome": shop.outcome or ""}))
        raise


async def _finish(image: DeployedImage, result: DeployResult, *, rolling_back: bool) -> None:
    await confirm(image, rolling_back=rolling_back)
    await _record(DeployReport(result))
    event = IMAGE_ROLLED_BACK if rolling_back else IMAGE_DEPLOYED
    await announce(event, image.name, _payload(image) | {"duration_s": result.duration_s})


async def _undo(image: DeployedImage, error: BaseException) -> str | None:
    """Go back to what ran before, as far as that is asked for and possible; a sentence on what became of it, None where
    nothing had been changed.

    An interrupted deploy sets the earlier image back and does not watch it come back: whoever interrupts gives it
    seconds, and an image that nobody saw get ready must not stay.
    """
    shop = deploy_workshop()
    try:
        await _find_own_write(image)
        if shop.written is None:
            if shop.pull_secret is not None:
                await shop.pull_secret.restore()
            return None
    except SlipwayError as trouble:
        return f"what was changed could not be looked at ({trouble.name}: {trouble.cause})"
    assert shop.before is not None, "it was looked at before it was written"
    good = shop.before.good
    if isinstance(error, RolloutSuperseded | ObjectMissing):
        return "the workload is left as it is"
    if not shop.request.rollback:
        return "the image stays, as no rollback was asked for"
    if good == image.reference:
        return "the image stays, as it is not known what ran before"
    why = cause_of(error)
    try:
        await put_back(good, why)
        if isinstance(error, asyncio.CancelledError):
            return f"{good} was set back, and nobody watched it come back"
        await watch_back()
    except SlipwayError as trouble:
        return f"the rollback to {good} failed as well ({trouble.name}: {trouble.cause})"
    await announce(IMAGE_ROLLED_BACK, image.name, _payload(image) | {"to": good, "cause": why})
    return f"rolled back to {good}, which runs again"


async def _find_own_write(image: DeployedImage) -> None:
    """An interruption may come between a write and its answer."""
    shop = deploy_workshop()
    if shop.written is None:
        there = await shop.workload.read()
        if there.image == image.reference and there.run == run_id():
            shop.written = there


def _with_outcome(error: BaseException, outcome: str | None) -> BaseException:
    """The same cause with what became of it, so that the run's final state says both."""
    if outcome is None or not isinstance(error, SlipwayError):
        return error
    return error.adding(outcome)


def _plan(image: DeployedImage, *, rolling_back: bool) -> Question:
    shop = deploy_workshop()
    assert shop.before is not None, "it was looked at"
    state = shop.before
    title = f"{'Roll back to' if rolling_back else 'Deploy'} {image.shown}"
    effects = [
        f"to {state.name}, container {state.container}, in namespace {state.namespace}"
        + (f" of {shop.request.context}" if shop.request.context else ""),
        f"as {image.reference}",
        f"instead of {state.image}",
        f"going back to {state.good} if it fails" if shop.request.rollback else "without going back if it fails",
    ]
    return Question(
        "\n".join([f"**{markdown.text(title)}**", "", *markdown.items(effects)]),
        "\n".join([title, *(f"  - {effect}" for effect in effects)]),
    )


async def _name_run(image: DeployedImage) -> None:
    """Show image, version and workload where people look first: the run's name and tags."""
    name = image.name.rsplit("/", 1)[-1]
    tags = {*(flow_run.tags or []), f"image:{name}"}
    if image.version:
        tags.add(f"version:{image.version}")
    state = deploy_workshop().before
    assert state is not None, "it was looked at"
    title = f"{name} {image.version or image.digest[:19]} to {state.namespace}/{state.name}"
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=title, tags=sorted(tags))


async def _record(report: DeployReport) -> None:
    """The report, and links to the image in its registry, the deployment and the run that this one is part of."""
    image = deploy_workshop().image
    assert image is not None, "what is rolled out is known"
    async with get_client() as client:
        origin = await origin_of_this_run(client)
        page = registry_link(ImageReference.parse(image.name), image.version or image.digest)
        report = replace(report, links=(*([page] if page is not None else []), *origin.links))
        await _show("deploy", report.as_markdown(), report.title)
        has_report()
        await show_links(client, report.links)


async def _show(kind: str, content: str, title: str) -> None:
    """An artifact of this run, under one key for each workload."""
    shop = deploy_workshop()
    assert shop.before is not None, "it was looked at"
    key = key_of(kind, f"{shop.request.context or ''} {shop.before.namespace} {shop.before.name}")
    await MarkdownArtifact(markdown=content, key=key, description=markdown.text(title)).acreate()


def _payload(image: DeployedImage) -> dict[str, object]:
    shop = deploy_workshop()
    assert shop.before is not None, "it was looked at"
    return {
        "image": image.name,
        "reference": image.reference,
        "digest": image.digest,
        "version": image.version,
        "workload": str(shop.before.name),
        "container": shop.before.container,
        "namespace": shop.before.namespace,
        "context": shop.request.context,
        "previous": shop.before.image,
        "run": run_id(),
    }


def _result(image: DeployedImage, stopwatch: Stopwatch, *, changed: bool) -> DeployResult:
    shop = deploy_workshop()
    state = shop.before
    assert state is not None, "it was looked at"
    good = state.good
    return DeployResult(
        image=image.name,
        digest=image.digest,
        reference=image.reference,
        workload=str(state.name),
        namespace=state.namespace,
        container=state.container,
        changed=changed,
        version=image.version,
        context=shop.request.context,
        previous=good if good != image.reference else state.previous,
        flow_run_id=run_id(),
        ui_url=flow_run.ui_url,
        duration_s=stopwatch.seconds,
    )

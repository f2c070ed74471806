"""Record: what people see of a run in Prefect. Name, plan, report, links and the image's history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect import get_client
from prefect.artifacts import LinkArtifact, MarkdownArtifact
from prefect.client.orchestration import PrefectClient
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.history import PastRelease, remember
from prefect_slipway.flows.reporting.links import Link, commit_link, history_link, registry_link
from prefect_slipway.flows.reporting.origin import Origin, origin_of_this_run
from prefect_slipway.flows.reporting.report import Report, plan_as_markdown
from prefect_slipway.flows.reporting.telemetry import describe_run
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.flow_run import has_report
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.plan import ReleasePlan, ReleaseResult
from prefect_slipway.infra.domain.reference import ImageReference


async def name_run(plan: ReleasePlan) -> None:
    """Show image and version where people look first: the run's name and tags."""
    if flow_run.id is None:
        return
    image = plan.image.rsplit("/", 1)[-1]
    name = f"{image} {plan.version or 'unchanged'}"
    describe_run({"slipway.image": plan.image, "slipway.version": plan.version or ""}, name=name)
    tags = {*(flow_run.tags or []), f"image:{image}"}
    if plan.version:
        tags.add(f"version:{plan.version}")
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=name, tags=sorted(tags))


async def show_plan(plan: ReleasePlan) -> None:
    """The plan as an artifact, before any of it is done."""
    await MarkdownArtifact(
        markdown=plan_as_markdown(plan),
        key=key_of("plan", plan.image),
        # Descriptions are Markdown as well.
        description=markdown.text(f"Plan of {plan.reference}"),
    ).acreate()


@step("record")
async def record(report: Report) -> None:
    """The report as an artifact of this run, under one key for each image; links; a row in the image's history."""
    watcher().show(report)
    plan, result = report.plan, report.result
    async with get_client() as client:
        origin = await origin_of_this_run(client)
        report = replace(report, links=_links(plan, result, origin))
        await MarkdownArtifact(
            markdown=report.as_markdown(), key=report.key, description=markdown.text(report.title)
        ).acreate(client)
        has_report()
        await show_links(client, report.links)
        if result.released:
            describe_run({"slipway.digest": result.digest or ""})
            await remember(client, plan.image, past_release(result, origin))


async def show_links(client: PrefectClient, links: Sequence[Link]) -> None:
    """Each as an artifact of this run."""
    for link in links:
        # Prefect writes Markdown around it.
        shown = markdown.text(link.text)
        await LinkArtifact(link=link.url, link_text=shown, description=link.what.capitalize()).acreate(client)


def _links(plan: ReleasePlan, result: ReleaseResult, origin: Origin) -> tuple[Link, ...]:
    links = []
    if commit := commit_link(plan.source):
        links.append(commit)
    if result.released and result.version:
        image = ImageReference.parse(plan.image)
        links += filter(None, (registry_link(image, result.version), history_link(image, PREFECT_UI_URL.value())))
    return (*links, *origin.links)


def past_release(result: ReleaseResult, origin: Origin) -> PastRelease:
    """The row of a release that has just ended."""
    assert result.version and result.digest, "a release has a version and a digest"
    return PastRelease(
        version=result.version,
        when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        seconds=round(result.duration_s, 1),
        steps=result.steps,
        cached=result.cached_steps,
        trigger=origin.trigger,
        digest=result.digest,
        revision=result.revision or "",
        run=result.ui_url or "",
    )

"""Record: what people see of a run in Prefect. Name, plan, report, links and each image's history."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import httpx
from prefect import get_client, get_run_logger
from prefect.artifacts import LinkArtifact, MarkdownArtifact
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.history import PastRelease, remember
from prefect_slipway.flows.reporting.links import Link, commit_link, history_link, registry_link
from prefect_slipway.flows.reporting.origin import Origin, origin_of_this_run
from prefect_slipway.flows.reporting.plan_report import plan_as_markdown
from prefect_slipway.flows.reporting.report import Report, report_key
from prefect_slipway.flows.reporting.telemetry import describe_run
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.flow_run import has_report
from prefect_slipway.flows.steps.notes import show_notes
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import ReleasedImage, ReleaseResult
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.naming import image_title
from prefect_slipway.infra.domain.reference import ImageReference

logger = logging.getLogger(__name__)

# More than these are one artifact.
_MOST_LINKS = 6


async def name_run(plan: ReleasePlan) -> None:
    """Show images and version where people look first: the run's name and tags."""
    if flow_run.id is None:
        return
    what = image_title(plan.only.image) if plan.only is not None else f"set {plan.name}"
    name = f"release {what} {plan.version}" if plan.version else f"release {what}: nothing to release"
    describe_run({"slipway.image": plan.name, "slipway.version": plan.version or ""}, name=name)
    tags = {*(flow_run.tags or []), *(f"image:{image.image.rsplit('/', 1)[-1]}" for image in plan.public)}
    if plan.version:
        tags.add(f"version:{plan.version}")
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=name, tags=sorted(tags))


async def show_plan(plan: ReleasePlan) -> None:
    """Record the plan as an artifact before it is carried out, and say it in the run's log."""
    get_run_logger().info("%s: %s", plan.reference, plan.why)
    await MarkdownArtifact(
        markdown=plan_as_markdown(plan),
        key=report_key("plan", plan),
        # Descriptions are Markdown as well.
        description=markdown.text(f"Plan of {plan.reference}"),
    ).acreate()


@step("record")
async def record(report: Report) -> Report:
    """Record the report as an artifact of this run (one key for each image or set), links, and a row in each image's
    history. Returns it with its links."""
    watcher().show(report)
    result = report.result
    async with get_client() as client:
        origin = await origin_of_this_run(client)
        report = replace(report, links=_links(report.plan, result, origin))
        await _write(client, report)
        has_report()
        if result.released:
            get_run_logger().info("%s", "\n".join([report.title, *(image.reference for image in result.images)]))
            describe_run({"slipway.digest": result.digest or ""})
            await show_notes(report.plan)
        await run_concurrently(
            show_links(client, report.links),
            *(remember(client, image.image, _past_release(result, image, origin)) for image in result.images),
        )
    return report


async def record_again(report: Report) -> None:
    """Record the report again with additions. Never fails, because the run's final state also shows them."""
    watcher().show(report)
    try:
        async with get_client() as client:
            await _write(client, report)
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("the report could not be updated (%s)", type(error).__name__)


async def _write(client: PrefectClient, report: Report) -> None:
    await MarkdownArtifact(
        markdown=report.as_markdown(), key=report.key, description=markdown.text(report.title)
    ).acreate(client)


async def show_links(client: PrefectClient, links: Sequence[Link]) -> None:
    """Record the links as artifacts of this run: one each, or one list of many, as those of a set's images are."""
    if len(links) > _MOST_LINKS:
        lines = [f"- {link.what.capitalize()}: {markdown.link(link.text, link.url)}" for link in links]
        await MarkdownArtifact(markdown="\n".join(lines), description="Links").acreate(client)
        return
    await run_concurrently(*(_show_link(client, link) for link in links))


async def _show_link(client: PrefectClient, link: Link) -> None:
    # Prefect writes Markdown around it.
    shown = markdown.text(link.text)
    await LinkArtifact(link=link.url, link_text=shown, description=link.what.capitalize()).acreate(client)


def _links(plan: ReleasePlan, result: ReleaseResult, origin: Origin) -> tuple[Link, ...]:
    links = []
    if commit := commit_link(plan.source):
        links.append(commit)
    for released in result.images:
        image = ImageReference.parse(released.image)
        ours = (registry_link(image, result.version or ""), history_link(image, PREFECT_UI_URL.value()))
        links += filter(None, ours)
    return (*links, *origin.links)


def _past_release(result: ReleaseResult, image: ReleasedImage, origin: Origin) -> PastRelease:
    """The history row of a release that has just ended."""
    return PastRelease(
        version=result.version or "",
        when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        seconds=round(result.duration_s, 1),
        steps=image.steps,
        cached=image.cached_steps,
        trigger=origin.trigger,
        digest=image.digest,
        revision=result.revision or "",
        run=result.ui_url or "",
    )

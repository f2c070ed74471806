"""Record: name the run after image and version, and leave the report in Prefect before anything is torn down."""

from __future__ import annotations

from prefect import get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.runtime import flow_run

from flows.domain.plan import ReleasePlan
from flows.report import Report
from flows.tasks.step import step
from flows.watch import watcher


async def name_run(plan: ReleasePlan) -> None:
    """Show image and version where people look first: the run's name and tags."""
    if flow_run.id is None:
        return
    name = plan.image.rsplit("/", 1)[-1]
    tags = {*(flow_run.tags or []), f"image:{name}"}
    if plan.version:
        tags.add(f"version:{plan.version}")
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=f"{name} {plan.version or 'unchanged'}", tags=sorted(tags))


@step("record")
async def record(report: Report) -> None:
    """The report as a Markdown artifact of this run, under one key for each image."""
    watcher().show(report)
    await acreate_markdown_artifact(
        markdown=report.as_markdown(), key=artifact_key(report.plan.image), description=report.title
    )


def artifact_key(image: str) -> str:
    """An artifact key (lower case letters, digits, dashes) that collects an image's reports."""
    key = "".join(c if c.isascii() and c.isalnum() else "-" for c in image.lower())
    return "release-" + "-".join(part for part in key.split("-") if part)

"""What started a run and what it belongs to in Prefect, for its links, history and event."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from prefect_slipway.flows.reporting.links import Link

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Origin:
    """`trigger`: a few words for people. `links`: the deployment and the parent run, if any."""

    trigger: str
    links: tuple[Link, ...] = ()


# By run. A parent's task is looked for each time: the server hears of it some time after it began.
_known: dict[UUID, Origin] = {}


async def origin_of_this_run(client: PrefectClient) -> Origin:
    """The origin of the current flow run; call it in one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return Origin(COMMAND_LINE)
    run = context.flow_run
    found = _known.get(run.id) or await _origin(client, run)
    if run.parent_task_run_id is None:
        _known[run.id] = found
    return found


async def _origin(client: PrefectClient, run: FlowRun) -> Origin:
    parent = await _parent(client, run)
    deployment = await _deployment(client, run)
    links = []
    if deployment is not None:
        links.append(_link("deployment", deployment.name, "deployment", deployment.id))
    if parent is not None:
        links.append(_link("parent", parent.name, "flow-run", parent.id))
    return Origin(
        trigger(run, deployment.name if deployment else None, parent.name if parent else None),
        tuple(link for link in links if link.url),
    )


def trigger(run: FlowRun, deployment: str | None, parent: str | None) -> str:
    """In words. The server notes who created a run for schedules (by their slug) and automations (by their name)."""
    by = run.created_by
    if by is not None and by.type in {"SCHEDULE", "AUTOMATION"}:
        return f"{by.type.lower()} {by.display_value or ''}".rstrip()
    # The relay and the check of base images start runs from outside of one, and say so by a tag.
    for tag in run.tags:
        if tag.startswith("trigger: "):
            return tag.removeprefix("trigger: ")
    if parent is not None:
        return f"run {parent}"
    return f"deployment {deployment}" if deployment is not None else COMMAND_LINE


async def _deployment(client: PrefectClient, run: FlowRun) -> DeploymentResponse | None:
    if run.deployment_id is None:
        return None
    try:
        return await client.read_deployment(run.deployment_id)
    except ObjectNotFound:
        return None


async def _parent(client: PrefectClient, run: FlowRun) -> FlowRun | None:
    """A subflow's (or a chained deployment's) parent: the run of the task that stands for it there."""
    if run.parent_task_run_id is None:
        return None
    try:
        task_run = await client.read_task_run(run.parent_task_run_id)
        return await client.read_flow_run(task_run.flow_run_id) if task_run.flow_run_id else None
    except ObjectNotFound:
        return None


def _link(what: str, text: str, kind: str, identity: UUID) -> Link:
    # "" without PREFECT_UI_URL: there is no page that is known of.
    return Link(what, text, url_for(kind, obj_id=identity) or "")

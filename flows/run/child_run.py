"""A deployment's run as a part of this one: started, waited for, cancelled with it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext, TaskRunContext
from prefect.utilities.urls import url_for

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.interrupts import whatever_comes
from prefect_slipway.flows.run.starting import Deployment, find_deployment, start_run
from prefect_slipway.flows.server.errors import prefect_client, prefect_errors
from prefect_slipway.infra.domain.errors import PrefectError, PrefectUnavailable, PrefectUnreachable

_POLL_S = 1.0
_CANCEL_S = 10.0
_MOST_ARTIFACTS = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndedRun:
    """`kind`, `name`, `message`: of its final state. `url`: its page, "" without a UI; `links`: its artifacts'."""

    kind: str
    name: str
    message: str
    url: str
    links: tuple[str, ...] = ()


def is_supervised() -> bool:
    """Whether a worker runs this for somebody who is not at its terminal."""
    context = FlowRunContext.get()
    deployed = context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None
    # A flow around this one may be the deployment's (prefect/runner, prefect/workers).
    return deployed or bool(os.environ.get("PREFECT__FLOW_RUN_ID"))


async def find(name: str) -> Deployment:
    """The deployment FLOW/NAME. Raises DeploymentUnknown, PrefectErrors."""
    async with prefect_client() as client:
        return await find_deployment(client, name)


async def run_child(name: str, parameters: Mapping[str, Any], *, required: str, key: str) -> EndedRun:
    """Run the deployment FLOW/NAME, below the current task, until it ends.

    `parameters`: those that its flow has, and `required` in any case. `key`: the same key, the same run. If this is
    cancelled, so is the run. Raises DeploymentUnknown, ParametersRefused, PrefectErrors.
    """
    async with prefect_client() as client:
        deployment = await find_deployment(client, name)
        known = deployment.schema.get("properties") or {}
        given = {each: value for each, value in parameters.items() if each in known or each == required}
        task = TaskRunContext.get()
        parent = str(task.task_run.id) if task is not None else None
        started = await start_run(client, deployment, given, idempotency_key=key, parent=parent)
        watcher().say(f"{name}: run {started.run_id} {started.url}".rstrip())
        run = UUID(started.run_id)
        ended = False
        try:
            state = await _followed(client, run)
            ended = True
        finally:
            if not ended:
                await whatever_comes(_cancel(client, run))
        links = await _artifacts(client, run)
        return EndedRun(state.type.value, state.name or state.type.value, state.message or "", started.url, links)


async def _followed(client: PrefectClient, run: UUID) -> State[Any]:
    while True:
        try:
            with prefect_errors():
                state = (await client.read_flow_run(run)).state
        except (PrefectUnavailable, PrefectUnreachable):
            state = None  # the caller's time limit ends it
        if state is not None and state.is_final():
            return state
        await asyncio.sleep(_POLL_S)


async def _cancel(client: PrefectClient, run: UUID) -> None:
    try:
        async with asyncio.timeout(_CANCEL_S):
            with prefect_errors():
                await client.set_flow_run_state(run, State(type=StateType.CANCELLING))
    except (TimeoutError, PrefectError) as error:
        logger.warning("the run %s could not be cancelled (%s)", run, type(error).__name__)


async def _artifacts(client: PrefectClient, run: UUID) -> tuple[str, ...]:
    with prefect_errors():
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])), limit=_MOST_ARTIFACTS
        )
    base = (url_for("flow-run", obj_id=run) or "").partition("/runs/")[0]
    return tuple(f"{base}/artifacts/artifact/{each.id}" for each in found) if base else ()

"""A run whose parameters the flow refuses has failed before the flow began: its name and its report are made here."""

from __future__ import annotations

from typing import Any

from prefect import Flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.results import get_result_store

from prefect_slipway.flows.run.flow_run import About, report_failure


async def report_early_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of Prefect for failed runs; nothing for those whose flow began, which report themselves."""
    async with get_client() as client:
        run = await client.read_flow_run(flow_run.id)
        if run.run_count > 0:
            return
        deployment = (await client.read_deployment(run.deployment_id)).name if run.deployment_id else ""
        called = f"{flow.name} {deployment}".rstrip()
        await client.update_flow_run(run.id, name=f"{called}: parameters refused")
        about = About(flow.name, f"{called} parameters", f"{called} did not start: its parameters were refused")
        # The report is an artifact of the run in this context, which the flow has not reached.
        with FlowRunContext(
            flow=flow,
            flow_run=run,
            parameters={},
            client=client,
            task_runner=flow.task_runner,
            result_store=get_result_store(),
        ):
            await report_failure(about, await state.aresult(raise_on_failure=False))

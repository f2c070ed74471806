"""A deploy: an image's digest into a workload, watched until it runs; back to what ran before if it does not."""

from __future__ import annotations

from typing import cast

from prefect import flow
from prefect.states import Completed

from flows.approval import refused
from flows.domain.errors import ApprovalRefused
from flows.domain.reference import ImageReference
from flows.domain.rollout import DeployResult
from flows.interrupts import terminated_like_interrupted
from flows.recorded import read_before_recorded
from flows.rollouts.request import DeployRequest
from flows.rollouts.rolling import failures_announced, roll_out
from flows.rollouts.workshop import open_deploy_workshop
from flows.tasks.resolve import resolve_image
from flows.watched.telemetry import traced_run


@read_before_recorded
@flow(
    name="deploy",
    flow_run_name="deploy {request.reference} to {request.workload}",
    persist_result=True,
    result_serializer="json",
)
async def deploy(request: DeployRequest) -> DeployResult:
    """Roll an image out to a workload in Kubernetes, by digest; a rollout that fails is rolled back, and the run fails.

    Safe to run again, also after a kill: what is rolled out already is left alone, a rollout under way is taken up.
    """
    with terminated_like_interrupted(), traced_run():
        async with open_deploy_workshop(request):
            try:
                async with failures_announced(ImageReference.parse(request.reference).name):
                    image = await resolve_image(request.reference, request.version)
                    result = await roll_out(image)
            except ApprovalRefused as error:
                return cast(DeployResult, refused(error))
    return cast(DeployResult, Completed(message=result.summary, data=result))

"""A deploy: set a workload's image by digest, watch the rollout, and restore the previous image if it fails."""

from prefect import flow

from prefect_slipway.flows.request.rollout import DeployRequest
from prefect_slipway.flows.rolling import roll_out, told
from prefect_slipway.flows.rollouts.open_deploy import open_deploy
from prefect_slipway.flows.rollouts.values import DeployResult
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.steps.resolve import resolve_image
from prefect_slipway.infra.domain.reference import ImageReference


@read_before_recorded
@flow(
    name="deploy",
    flow_run_name="{request.run_name}",
    persist_result=True,
    result_serializer="json",
)
async def deploy(request: DeployRequest) -> DeployResult:
    """Roll out an image to a workload in Kubernetes by digest. A failed rollout is rolled back, and the run fails.

    Safe to run again, also after a kill: a finished rollout is left alone, and one in progress is watched.
    """
    title = f"{request.reference} was not rolled out to {request.workload}"
    about = About("deploy", request.place, title, request.shown)
    return await as_run(lambda: _deploy(request), about, lambda result: result.summary)


async def _deploy(request: DeployRequest) -> DeployResult:
    async with open_deploy(request) as opened, told(opened, ImageReference.parse(request.reference).name) as course:
        return await roll_out(course, await resolve_image(opened.registries, request.reference, request.version))

"""A user's module: every flow of Slipway, and one of their own that calls two of them."""

from typing import Any, cast

from prefect import Flow, flow, serve, tags
from prefect.deployments.runner import RunnerDeployment

from prefect_slipway.flows.check_bases import check_bases
from prefect_slipway.flows.deploy import deploy
from prefect_slipway.flows.promote import promote
from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.rollout import DeployRequest
from prefect_slipway.flows.rollback import rollback
from prefect_slipway.flows.sweep import sweep

FLOWS: dict[str, Flow[..., Any]] = {
    "release": release,
    "deploy": deploy,
    "rollback": rollback,
    "promote": promote,
    "check_bases": check_bases,
    "sweep": sweep,
}


@flow(persist_result=True, result_serializer="json")
async def pipeline(source: str, to: dict[str, object]) -> str:
    """Release, then deploy what was released."""
    with tags("pipeline"):
        released = await release(ReleaseRequest(source=source))
        deployed = await deploy(DeployRequest.model_validate({**to, "reference": released.reference}))
    return deployed.reference


if __name__ == "__main__":
    deployments = [cast(RunnerDeployment, one.to_deployment("outside")) for one in (*FLOWS.values(), pipeline)]
    serve(*deployments, print_starting_message=False)

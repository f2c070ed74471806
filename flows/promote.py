"""A promotion: roll out the same digest from one environment to the next, never rebuilt, and watch each rollout."""

from itertools import pairwise

from prefect import flow, get_client
from prefect.runtime import flow_run

from prefect_slipway.flows.deploy import deploy
from prefect_slipway.flows.request.rollout import DeployRequest, Environment, PromoteRequest, RolloutOptions
from prefect_slipway.flows.rollouts.open_deploy import open_registries
from prefect_slipway.flows.rollouts.values import DeployedImage, DeployResult, PromoteResult
from prefect_slipway.flows.run.cluster import open_api
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.steps.resolve import resolved
from prefect_slipway.flows.steps.rollout import check_required, place_of
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import ApprovalRefused, NotPromoted, SlipwayError
from prefect_slipway.infra.kubernetes.workloads.workload import Workload, WorkloadState
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName


@read_before_recorded
@flow(name="promote", flow_run_name="{request.run_name}", persist_result=True, result_serializer="json")
async def promote(request: PromoteRequest) -> PromoteResult[DeployResult]:
    """Roll out the first environment's image to the other environments in order.

    The first failure or rejection ends it; environments reached so far keep the image. Safe to run again.
    """
    about = About("promote", request.called, f"{request.called} was not promoted", request.shown)
    return await as_run(lambda: _promote(request), about, lambda result: result.summary)


async def _promote(request: PromoteRequest) -> PromoteResult[DeployResult]:
    image = await find_image(request)
    await _name_run(image, request)
    await check_before_any(image, request)
    done: dict[str, DeployResult] = {}
    for before, after in pairwise(request.environments):
        await check_rolled_out(image, before)
        done[after.name] = await _deploy(image, after, request)
    return PromoteResult(image.name, image.digest, done, image.version, str(flow_run.id), flow_run.ui_url)


@step("find the image")
async def find_image(request: PromoteRequest) -> DeployedImage:
    """The requested image, or else the one in the first environment. Raises NotPromoted."""
    first = request.environments[0]
    async with open_registries(request, first.pull_credentials) as registries:
        if request.reference is not None:
            return await resolved(registries, request.reference, request.version)
        state = await _look(first)
        if not state.confirmed:
            raise NotPromoted(
                f"{first.name}: the rollout of {state.image} to {state.name} is not known to have succeeded"
            )
        return await resolved(registries, state.image, state.version_of(state.image))


@step("look at the previous environment")
async def check_rolled_out(image: DeployedImage, environment: Environment) -> None:
    """Check that this digest was rolled out there and not rolled back since. Raises NotPromoted."""
    state = await _look(environment)
    if state.rolled_out(image.digest) is None:
        raise NotPromoted(
            f"{environment.name}: {image.reference} was not rolled out to {state.name} in namespace {state.namespace}"
        )


async def check_before_any(image: DeployedImage, request: PromoteRequest) -> None:
    """Verify the image by what all environments require, before the first of them gets it. Raises as
    `verify_required`."""
    places = []
    for each in request.environments:
        async with open_api(each.context, each.namespace) as api:
            places.append(place_of(api))
    async with open_registries(request, request.environments[0].pull_credentials) as registries:
        await check_required(registries, image, request.require, places)


async def _look(environment: Environment) -> WorkloadState:
    async with open_api(environment.context, environment.namespace) as api:
        return await Workload(api, WorkloadName.parse(environment.workload), environment.container).read()


async def _deploy(image: DeployedImage, environment: Environment, request: PromoteRequest) -> DeployResult:
    options = {name: getattr(request, name) for name in RolloutOptions.model_fields}
    target = environment.model_dump(exclude={"name"})
    try:
        return await deploy(DeployRequest(**target, **options, reference=image.reference, version=image.version))
    except ApprovalRefused:
        raise
    except SlipwayError as error:
        raise type(error)(f"{environment.name}: {error.cause}", action=error.action, details=error.details) from error


async def _name_run(image: DeployedImage, request: PromoteRequest) -> None:
    async with get_client() as client:
        await client.update_flow_run(
            flow_run.id, name=f"promote {request.promoting(image.title)}", tags=image.tags(flow_run.tags or [])
        )

"""A rollback: a workload to an earlier release, by the digest that was released."""

import asyncio

from prefect import flow

from prefect_slipway.flows.request.rollout import PREVIOUS, RollbackRequest
from prefect_slipway.flows.rolling import roll_out, told
from prefect_slipway.flows.rollouts.open_deploy import OpenDeploy, open_deploy
from prefect_slipway.flows.rollouts.values import DeployedImage, DeployResult
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.steps.resolve import resolved
from prefect_slipway.flows.steps.rollout import say
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import (
    ManifestUnknown,
    RegistryError,
    ReleaseUnknown,
    SlipwayError,
    StackDown,
    VaultError,
)
from prefect_slipway.infra.domain.reference import ImageReference, is_digest
from prefect_slipway.infra.kubernetes.workloads.workload import WorkloadState

# A registry that never answers must not delay a rollback.
_REGISTRY_S = 15.0


@read_before_recorded
@flow(
    name="rollback",
    flow_run_name="{request.run_name}",
    persist_result=True,
    result_serializer="json",
)
async def rollback(request: RollbackRequest) -> DeployResult:
    """Bring a workload back to an earlier release; the current image counts as withdrawn, so no promotion takes it
    further.

    The registry is only asked whether what the workload remembers still exists; an unreachable registry does not block.
    """
    title = f"{request.workload} was not rolled back to {request.to}"
    about = About("deploy", request.place, title, request.shown)
    return await as_run(lambda: _rollback(request), about, lambda result: result.summary)


async def _rollback(request: RollbackRequest) -> DeployResult:
    async with open_deploy(request) as opened, told(opened, request.image) as course:
        image = await find_release(opened, request.to, request.image)
        return await roll_out(course, image, rolling_back=True)


@step("find the release")
async def find_release(deploy: OpenDeploy, to: str, image: str | None) -> DeployedImage:
    """Find the release in the workload's record, or else in the registry.

    What the workload remembers by its digest needs no registry: one that is away, or whose password is lost, is said
    and does not stand in the way. Raises ReleaseUnknown, also for what the registry says is gone.
    """
    state = await deploy.workload.read()
    name = image or ImageReference.parse(state.image).name
    reference, version = _earlier(state, name, to)
    remembered = reference in {state.image, state.previous, *(each.image for each in state.history)}
    try:
        async with asyncio.timeout(_REGISTRY_S if remembered else None):
            return await resolved(deploy.registries, reference, version)
    except ManifestUnknown as error:
        raise ReleaseUnknown(f"the registry does not hold {reference} {version or ''}".rstrip()) from error
    except (RegistryError, VaultError, StackDown, TimeoutError) as error:
        known = ImageReference.parse(reference)
        if not remembered or known.digest is None:
            raise
        why = error.cause if isinstance(error, SlipwayError) else f"no answer within {_REGISTRY_S:g} s"
        say(f"the registry did not answer ({why}): using the digest that {state.name} recorded")
        return DeployedImage(known.name, known.digest, version or state.version_of(reference))


def _earlier(state: WorkloadState, name: str, to: str) -> tuple[str, str | None]:
    """Reference and version to look for."""
    if to == PREVIOUS and state.rolling_back:
        return state.image, state.version_of(state.image)  # the same command again, after a kill
    if to == PREVIOUS:
        before = next((each for each in state.history if each.image != state.image and not each.withdrawn), None)
        if before is not None:
            return before.image, before.version
        if state.previous is not None and state.previous != state.image:
            return state.previous, None
        raise ReleaseUnknown(f"{state.name} has no recorded release before {state.image}")
    if is_digest(to):
        return f"{name}@{to}", None
    known = next((each for each in state.history if each.version == to and each.image.startswith(f"{name}@")), None)
    return (known.image if known else name), to

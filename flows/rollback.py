"""A rollback: a workload to an earlier release, by the digest that was released."""

from __future__ import annotations

from typing import cast

from prefect import flow
from prefect.states import Completed

from flows.approval import refused
from flows.domain.errors import ApprovalRefused, ManifestUnknown, ReleaseUnknown
from flows.domain.reference import ImageReference, is_digest
from flows.domain.rollout import DeployedImage, DeployResult
from flows.interrupts import terminated_like_interrupted
from flows.recorded import read_before_recorded
from flows.rollouts.request import PREVIOUS, RollbackRequest
from flows.rollouts.rolling import failures_announced, roll_out
from flows.rollouts.workshop import deploy_workshop, open_deploy_workshop
from flows.tasks.resolve import resolved
from flows.tasks.step import step
from flows.watched.telemetry import traced_run
from infra.kubernetes.workload import WorkloadState


@read_before_recorded
@flow(
    name="rollback",
    flow_run_name="rollback of {request.workload} to {request.to}",
    persist_result=True,
    result_serializer="json",
)
async def rollback(request: RollbackRequest) -> DeployResult:
    """Bring a workload back to an earlier release, which the registry must still hold; what ran until now is taken
    for withdrawn: no promotion takes it on."""
    with terminated_like_interrupted(), traced_run():
        async with open_deploy_workshop(request):
            try:
                async with failures_announced(request.image):
                    image = await find_release(request.to, request.image)
                    result = await roll_out(image, rolling_back=True)
            except ApprovalRefused as error:
                return cast(DeployResult, refused(error))
    return cast(DeployResult, Completed(message=result.summary, data=result))


@step("find the release")
async def find_release(to: str, image: str | None) -> DeployedImage:
    """As the workload remembers it, else as the registry has it. Raises ReleaseUnknown, also for what is gone there."""
    shop = deploy_workshop()
    state = await shop.workload.read()
    name = image or ImageReference.parse(state.image).name
    reference, version = _earlier(state, name, to)
    try:
        return await resolved(shop.registries, reference, version)
    except ManifestUnknown as error:
        raise ReleaseUnknown(f"the registry does not hold {reference} {version or ''}".rstrip()) from error


def _earlier(state: WorkloadState, name: str, to: str) -> tuple[str, str | None]:
    """Reference and version to look for."""
    if to == PREVIOUS and state.rolling_back:
        return state.image, None  # the same command again, after a kill
    if to == PREVIOUS:
        before = next((each for each in state.history if each.image != state.image and not each.withdrawn), None)
        if before is not None:
            return before.image, before.version
        if state.previous is not None and state.previous != state.image:
            return state.previous, None
        raise ReleaseUnknown(f"{state.name} remembers no release before {state.image}")
    if is_digest(to):
        return f"{name}@{to}", None
    known = next((each for each in state.history if each.version == to and each.image.startswith(f"{name}@")), None)
    return (known.image if known else name), to

"""Flows that go on with a release, and what runs them in a process of its own."""

from __future__ import annotations

from prefect import flow
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.release import ReleaseRequest

NAME = "chain"


@flow(name="follow")
async def follow(reference: str) -> None:
    """Stands for a deploy that an event starts."""


@flow(name="pipeline", persist_result=True, result_serializer="json")
async def pipeline(request: ReleaseRequest) -> str:
    """A release as a subflow."""
    result = await release(request)
    assert result.reference is not None, "what is released has a reference"
    return result.reference


async def serve() -> None:
    """Until the process is terminated."""
    runner = Runner(query_seconds=1)
    for one in (release, follow, pipeline):
        deployment = await one.ato_deployment(NAME, entrypoint_type=EntrypointType.MODULE_PATH)
        await runner.aadd_deployment(deployment)
    await runner.start()

"""A team's own flow as a gate, and what runs it in a process of its own."""

from __future__ import annotations

import asyncio

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runner import Runner
from prefect.states import Completed
from prefect.types.entrypoint import EntrypointType

WAYS = ("pass", "warn", "fail", "wait")


@flow(name="smoke")
async def smoke(reference: str, version: str = "", how: str = "pass") -> State | None:
    """Looks at an image, and answers as its deployment says."""
    await acreate_markdown_artifact(f"tested {reference} of {version}", key="smoke")
    if how == "fail":
        raise RuntimeError("it does not answer")
    if how == "wait":
        await asyncio.sleep(3600)
    return Completed(name="Warned", message="it is slow") if how == "warn" else None


async def serve() -> None:
    """Until the process is terminated."""
    runner = Runner(query_seconds=1)
    for how in WAYS:
        deployment = await smoke.ato_deployment(
            how, parameters={"how": how}, entrypoint_type=EntrypointType.MODULE_PATH
        )
        await runner.aadd_deployment(deployment)
    await runner.start()

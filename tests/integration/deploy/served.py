"""The deploy flow as a deployment, and what runs it in a process of its own."""

from __future__ import annotations

from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from prefect_slipway.flows.deploy import deploy

NAME = "chain"


async def serve() -> None:
    """Until the process is terminated."""
    runner = Runner(query_seconds=1)
    await runner.aadd_deployment(await deploy.ato_deployment(NAME, entrypoint_type=EntrypointType.MODULE_PATH))
    await runner.start()

"""Provision builder: find the daemons to build on, and ask each what it runs."""

from __future__ import annotations

from prefect_slipway.flows.run.nodes import look_at_builder
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.builder import BuilderFacts


@step("provision builder")
async def provision_builder(run: OpenRun, registry: str) -> BuilderFacts:
    """Provision the builder. Raises as `look_at_builder`."""
    return await look_at_builder(run, registry)

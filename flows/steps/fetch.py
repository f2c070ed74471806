"""Fetch source: a directory as it is, a git revision or an archive in a folder of the run's own."""

from __future__ import annotations

from prefect_slipway.flows.planning.plan import source_facts
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.run.workshop import workshop
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.plan import SourceFacts


@step("fetch source")
async def fetch_source() -> SourceFacts:
    """Raises the SourceErrors, InvalidOption."""
    shop = workshop()
    shop.checkout = await open_source(shop)
    return source_facts(shop.checkout)

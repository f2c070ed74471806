"""Fetch source: a directory as it is, a git revision or an archive in a folder of the run's own."""

from __future__ import annotations

from flows.domain.plan import SourceFacts
from flows.planning import source_facts
from flows.sources import open_source
from flows.tasks.step import step
from flows.workshop import workshop


@step("fetch source")
async def fetch_source() -> SourceFacts:
    """Raises the SourceErrors, InvalidOption."""
    shop = workshop()
    shop.checkout = await open_source(shop)
    return source_facts(shop.checkout)

"""Fetch source: a directory as it is, a git revision or an archive in a folder of the run's own."""

from __future__ import annotations

from prefect_slipway.flows.planning.source import FetchedSource, look_into
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.made import Made
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.steps.step import step


@step("fetch source")
async def fetch_source(run: OpenRun, made: Made) -> FetchedSource:
    """Fetch the source. Raises the SourceErrors, InvalidOption."""
    if made.checkout is not None:
        # A retry of this step: remove what the first try fetched.
        await made.checkout.close()
    made.checkout = await open_source(run)
    await run.use_release_file(made.checkout)
    source = look_into(run, made.checkout)
    for warning in source.targets.warnings:
        watcher().say(f"WARN: {warning}")
    return source

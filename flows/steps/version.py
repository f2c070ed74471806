"""Plan version: decide what this release will do, and reserve its version."""

from __future__ import annotations

from contextlib import suppress

from prefect.runtime import flow_run

from prefect_slipway.flows.planning.decide import plan_release
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.run.made import Made
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import InvalidVersion
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import Version, latest, parse_version


@step("plan version")
async def plan_version(run: OpenRun, source: FetchedSource, made: Made) -> ReleasePlan:
    """Plan the release. Raises VersionTaken, VersionReserved, InvalidOption, and errors of registry, git, Vault and
    cluster."""
    if made.reserved is not None:
        # A retry of this step: the first try's reservation would block it.
        await made.reserved.end()
        made.reserved = None
    plan, made.reserved = await plan_release(run, source, claimant=str(flow_run.id), earlier=named_before())
    await _check_rights(run, source, plan)
    return plan


async def _check_rights(run: OpenRun, source: FetchedSource, plan: ReleasePlan) -> None:
    """Find a missing permission now, not after a long build or an approval."""
    if plan.nothing_to_release or plan.pull_request is not None or not (to_build := plan.to_build()):
        return
    images = {ImageReference.parse(image.image) for image in to_build}
    clients = {image: await source.registries.client(image) for image in images}
    await run_concurrently(*(client.check_push(image.repository) for image, client in clients.items()))
    await run.builder.check(source.registries.host)


def named_before() -> Version | None:
    """The version that an earlier attempt of this run meant to release, from the run's tags (record.name_run)."""
    if not flow_run.run_count:
        return None
    found = []
    for tag in flow_run.tags or []:
        if tag.startswith("version:"):
            with suppress(InvalidVersion):  # somebody else's tag
                found.append(parse_version(tag.removeprefix("version:")))
    return latest(found)

"""Plan version: decide what this release will do, and reserve its version."""

from __future__ import annotations

from contextlib import suppress

from prefect.runtime import flow_run

from prefect_slipway.flows.planning.plan import plan_release
from prefect_slipway.flows.run.workshop import workshop
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import InvalidVersion
from prefect_slipway.infra.domain.plan import ReleasePlan
from prefect_slipway.infra.domain.version import Version, latest, parse_version


@step("plan version")
async def plan_version() -> ReleasePlan:
    """Raises VersionTaken, VersionReserved, InvalidOption, and what registry, git, Vault and cluster raise."""
    shop = workshop()
    assert shop.checkout is not None, "the source is fetched before its version is planned"
    plan = await plan_release(shop, shop.checkout, run=str(flow_run.id), reserve=True, earlier=named_before())
    if not plan.nothing_to_release and plan.existing_digest is None:
        # A missing right is found now, not after a long build or an approval.
        image = shop.image(plan.source.name)
        registry = await shop.registry(image)
        await registry.check_push(image.repository)
        await shop.check_builder()
    return plan


def named_before() -> Version | None:
    """What an earlier attempt of this run was to release, as the tags tell that it gave the run (record.name_run)."""
    if not flow_run.run_count:
        return None
    found = []
    for tag in flow_run.tags or []:
        if tag.startswith("version:"):
            with suppress(InvalidVersion):  # somebody else's tag
                found.append(parse_version(tag.removeprefix("version:")))
    return latest(found)

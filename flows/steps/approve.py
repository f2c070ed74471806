"""Approve: wait for somebody's yes to the plan, and see that what was approved is what will be built."""

from __future__ import annotations

from prefect_slipway.flows.planning.plan import source_facts
from prefect_slipway.flows.reporting.report import plan_as_question, plan_as_text
from prefect_slipway.flows.run.approval import Question, approved
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.run.workshop import workshop
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import ApprovalOutdated
from prefect_slipway.infra.domain.plan import ReleasePlan, SourceFacts


async def wait_for_approval(plan: ReleasePlan) -> None:
    """Raises ApprovalRefused, ApprovalTimedOut, ApprovalOutdated."""
    await approved(Question(plan_as_question(plan), plan_as_text(plan)), workshop().request.approval_timeout_s)
    await look_again(plan.source)


@step("look at the source again")
async def look_again(planned: SourceFacts) -> None:
    """A directory may have changed while the answer was waited for. Raises ApprovalOutdated, SourceErrors."""
    shop = workshop()
    assert shop.checkout is not None, "the source is fetched before it is approved"
    if shop.checkout.temporary is None and source_facts(await open_source(shop)) != planned:
        raise ApprovalOutdated(f"{planned.path} changed while the release waited for its approval")

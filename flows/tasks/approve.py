"""Approve: wait for somebody's yes to the plan, and see that what was approved is what will be built."""

from __future__ import annotations

from flows.approval import Question, approved
from flows.domain.errors import ApprovalOutdated
from flows.domain.plan import ReleasePlan, SourceFacts
from flows.planning import source_facts
from flows.sources import open_source
from flows.tasks.step import step
from flows.watched.report import plan_as_question, plan_as_text
from flows.workshop import workshop


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

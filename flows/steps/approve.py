"""Approve: wait for the plan's approval, and check that the approved source is what will be built."""

from __future__ import annotations

from prefect_slipway.flows.planning.source import FetchedSource, source_facts
from prefect_slipway.flows.reporting.plan_report import plan_as_question, plan_as_text
from prefect_slipway.flows.run.approval import Question, approved
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.errors import ApprovalOutdated
from prefect_slipway.infra.source.checkout import Checkout


async def wait_for_approval(run: OpenRun, source: FetchedSource, plan: ReleasePlan) -> None:
    """Wait for the approval. Raises ApprovalRefused, ApprovalTimedOut, ApprovalOutdated."""
    question = Question(plan_as_question(plan), plan_as_text(plan))
    await ask(run, source.checkout, question)


async def ask(run: OpenRun, checkout: Checkout, question: Question) -> None:
    """Wait for the answer. Raises as `wait_for_approval`."""
    await approved(question, run.request.approval.timeout_s)
    await look_again(run, checkout)


@step("look at the source again")
async def look_again(run: OpenRun, checkout: Checkout) -> None:
    """Check that a directory did not change during the wait. Raises ApprovalOutdated, SourceErrors."""
    if checkout.temporary is None and source_facts(await open_source(run)) != source_facts(checkout):
        raise ApprovalOutdated(f"{checkout.path} changed while the release waited for its approval")

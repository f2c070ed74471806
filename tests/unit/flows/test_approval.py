"""Waiting for an answer: through a server that is away, and not for a run that was cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Cancelling, Crashed, Paused, Running
from pydantic import ValidationError

from prefect_slipway.flows.run import approval
from prefect_slipway.flows.run.approval import Approval, Question, approved, how_to_answer, refused
from prefect_slipway.infra.domain.errors import ApprovalRefused


class _Client:
    """Gives one answer after the other."""

    def __init__(self, *answers: State[Any] | Exception) -> None:
        self._answers: Iterator[State[Any] | Exception] = iter(answers)

    async def read_flow_run(self, _: object) -> SimpleNamespace:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(state=answer)


@pytest.fixture(autouse=True)
def without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval, "_POLL_S", 0.0)


async def _answered(*answers: State[Any] | Exception) -> None:
    await approval._answered(cast(Any, _Client(*answers)), uuid4())


async def test_a_server_that_is_away_is_waited_for() -> None:
    """A restart of the server ends no waiting run."""
    await _answered(Paused(), httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), Paused(), Running())


@pytest.mark.parametrize(
    ("state", "how"), [(Cancelling(), "cancelled"), (Cancelled(), "cancelled"), (Crashed(), "ended from outside")]
)
async def test_a_run_that_was_ended_waits_no_longer(state: State[Any], how: str) -> None:
    """Whoever cancels it has answered; and what is taken for dead must not come back to life."""
    with pytest.raises(ApprovalRefused, match=how):
        await _answered(Paused(), state)


async def test_only_a_run_can_wait() -> None:
    """Outside of a flow run there is nothing that could be paused."""
    with pytest.raises(RuntimeError):
        await approved(Question("Really?", "Really?"), 1)


def test_an_answer_says_who_and_why() -> None:
    """As the run's state shows it; and no answer is a yes by itself."""
    assert Approval(answer="approve").said == "somebody approved"
    refusal = Approval(answer="refuse", by="Ada", comment="too late")
    assert refusal.said == "Ada refused: too late"
    with pytest.raises(ValidationError):
        Approval.model_validate({})
    state = refused(ApprovalRefused(refusal.said))
    assert (state.name, state.message, state.is_cancelled()) == ("Refused", "Ada refused: too late", True)


def test_both_ways_to_answer_are_told() -> None:
    """The command line always, the UI where its address is known."""
    assert "slipway approve 1-2 --refuse" in how_to_answer("1-2", None)
    assert how_to_answer("1-2", "http://ui/x").endswith("http://ui/x")

"""Approvals: the run pauses, shows its question in the UI and on its terminal, and continues with the answer.

The process stays: what it holds (a reservation, a session with Vault) is kept alive meanwhile, so a run that waits for
days does so. `prefect.flow_runs.pause_flow_run` is not used: it ends a run by its own words when nobody answers, goes
on waiting for a run that was cancelled, and fails when the server is away for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal, cast
from uuid import UUID

import httpx
from prefect import get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.input import RunInput, keyset_from_paused_state
from prefect.input.actions import acreate_flow_run_input
from prefect.input.run_input import Keyset
from prefect.runtime import flow_run
from prefect.states import Cancelled, Paused
from pydantic import Field, ValidationError

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.origin import COMMAND_LINE, origin_of_this_run
from prefect_slipway.flows.reporting.watch import shown_step, watcher
from prefect_slipway.flows.run.stopwatch import not_counted
from prefect_slipway.flows.server.errors import prefect_cause, prefect_client
from prefect_slipway.infra.common.account import login_name
from prefect_slipway.infra.domain.errors import ApprovalRefused, ApprovalTimedOut, InvalidOption
from prefect_slipway.infra.domain.outside import one_line

_POLL_S = 1.0
# After a pause's deadline the server ends the run with its own message: Slipway's comes first, with the cause.
_SERVER_GRACE_S = 3600
# Prefect's two UIs have it in two places.
_IN_THE_UI = "Resume in the UI (a button, or in the menu ⋮)"

logger = logging.getLogger(__name__)


class Approval(RunInput):
    """The answer, and the UI's form for it."""

    answer: Literal["approve", "refuse"] = Field(description="approve: continue. refuse: end the run without a change.")
    comment: str = Field(default="", title="Reason", description="Is recorded with the answer.")
    by: str = Field(
        default="", title="Your name", description="Is recorded, as Prefect's open-source server has no users."
    )

    @property
    def said(self) -> str:
        """Who answered what, as a sentence."""
        verb = "approved" if self.answer == "approve" else "refused"
        by, comment = one_line(self.by), one_line(self.comment)
        return f"{by or 'somebody'} {verb}" + (f": {comment}" if comment else "")


@dataclass(frozen=True, slots=True)
class Question:
    """The question: `markdown` for the UI's form, `text` for the log and the terminal."""

    markdown: str
    text: str


async def approved(question: Question, timeout_s: float) -> Approval:
    """Pause the flow run until somebody approves; returns the answer.

    `timeout_s`: seconds from now. To be called in a flow. Raises ApprovalRefused (a run that is cancelled meanwhile
    counts as refused) and ApprovalTimedOut; `refused` makes the run's state of the former.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("an approval needs a flow run that can be paused")
    run_id = context.flow_run.id
    deadline = datetime.now(UTC) + timedelta(seconds=timeout_s)
    with not_counted():
        async with get_client() as client:
            try:
                with shown_step("wait for approval"):
                    async with asyncio.timeout(timeout_s):
                        answer = await _ask(client, run_id, question, deadline)
            except TimeoutError as error:
                raise ApprovalTimedOut(f"nobody approved within {_duration(timeout_s)}") from error
    get_run_logger().info("%s", answer.said)
    watcher().say(answer.said)
    if answer.answer == "refuse":
        raise ApprovalRefused(answer.said)
    return answer


def refused(error: ApprovalRefused) -> State[Any]:
    """The final state of a rejected run: neither a success nor a failure. Its result raises the error."""
    return Cancelled(name="Refused", message=error.cause, data=error)


async def give_answer(run: str, answer: Approval) -> str:
    """Answer a waiting run; returns its name. `run`: its id or name. Raises InvalidOption if it is not waiting,
    PrefectErrors."""
    async with prefect_client() as client:
        waiting = await _waiting(client, run)
        outcome = await client.resume_flow_run(waiting.id, answer.model_dump())
        if outcome.status is not SetStateStatus.ACCEPT and not await _is_given(answer, waiting):
            raise _waits_not(run)
        return waiting.name


async def _waiting(client: PrefectClient, run: str) -> FlowRun:
    paused = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
    try:
        named = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run)]), state=paused)
    except ValueError:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[run]), state=paused)
    found = await client.read_flow_runs(flow_run_filter=named, limit=2)
    if not found:
        raise _waits_not(run)
    if len(found) > 1:
        raise InvalidOption(
            f"several runs with the name {run!r} wait for an approval",
            action="use the run's id, which the run has printed",
        )
    return found[0]


def _waits_not(run: str) -> InvalidOption:
    return InvalidOption(
        f"no run {run!r} is waiting for an approval", action="find the runs in the state Paused in the UI"
    )


async def _ask(client: PrefectClient, run_id: UUID, question: Question, deadline: datetime) -> Approval:
    until = f"{deadline:%Y-%m-%d %H:%M:%S} UTC"
    asked = f"asked by: {await _asker(client)}"
    unanswered = f"if nobody answers by {until}, the run fails and changes nothing"
    paused: State[Any] = Paused(
        pause_key=str(uuid.uuid4()),
        pause_expiration_time=deadline + timedelta(seconds=_SERVER_GRACE_S),
        message=f"waiting for an approval until {until}: {_IN_THE_UI}, or slipway approve {run_id}",
    )
    keys = keyset_from_paused_state(paused)
    paused.state_details.run_input_keyset = cast(dict[str, str], keys)
    outcome = await client.set_flow_run_state(run_id, paused)
    if outcome.status is not SetStateStatus.ACCEPT and not await _is_paused_by(client, run_id, paused):
        raise ApprovalRefused("the run was cancelled before it could ask for an approval")
    await _save(question.markdown, [asked, unanswered], keys, run_id)
    said = f"{question.text}\n  {asked}\n  {unanswered}\n\n{how_to_answer(str(run_id), flow_run.ui_url)}"
    get_run_logger().info("waiting for an approval:\n%s", said)
    watcher().say(f"{said}\nwaiting until {until}")
    await _answered(client, run_id)
    try:
        return await Approval.aload(keys, run_id)
    except ValidationError as error:
        raise ApprovalRefused("the run was resumed without an answer") from error


# Prefect's client sends a request again whose answer was lost or late, and the server refuses what is done already. So
# what was refused may have been done.


async def _is_paused_by(client: PrefectClient, run_id: UUID, paused: State[Any]) -> bool:
    state = (await client.read_flow_run(run_id)).state
    return state is not None and state.is_paused() and state.state_details.pause_key == paused.state_details.pause_key


async def _save(question: str, facts: list[str], keys: Keyset, run_id: UUID) -> None:
    """The form of the answer: its schema, then its description."""
    with _existing():
        await Approval.with_initial_data().asave(keys, run_id)
    with _existing():
        await acreate_flow_run_input(keys["description"], "\n".join([question, "", *markdown.items(facts)]), run_id)


@contextmanager
def _existing() -> Iterator[None]:
    """Within: what exists already is not created again."""
    try:
        yield
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.CONFLICT:
            raise


async def _is_given(answer: Approval, run: FlowRun) -> bool:
    """Whether it is the answer that the run has got."""
    keys = run.state.state_details.run_input_keyset if run.state is not None else None
    try:
        return keys is not None and (await Approval.aload(cast(Keyset, keys), run.id)).said == answer.said
    except ValidationError:  # it has none
        return False


def how_to_answer(run_id: str, ui_url: str | None) -> str:
    """The commands, and the page in the UI."""
    lines = [f"approve: slipway approve {run_id}", f"refuse:  slipway approve {run_id} --refuse --comment WHY"]
    if ui_url:
        lines.append(f"or {_IN_THE_UI}: {ui_url}")
    return "\n".join(lines)


async def _asker(client: PrefectClient) -> str:
    """What started the run, and whose command it was."""
    started = (await origin_of_this_run(client)).trigger
    return f"{started} of {_user()}" if started == COMMAND_LINE else started


def _user() -> str:
    name = login_name()
    return f"{name} on {platform.node()}" if name else platform.node()


async def _answered(client: PrefectClient, run_id: UUID) -> None:
    """Wait until the run is resumed; a server that is away for a while is waited for as well."""
    while True:
        await asyncio.sleep(_POLL_S)
        try:
            state = (await client.read_flow_run(run_id)).state
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            logger.debug("%s", prefect_cause(error))
            continue
        assert state is not None, "a running run has a state"
        if state.type is StateType.CANCELLING or state.is_final():
            how = "cancelled" if state.type in {StateType.CANCELLING, StateType.CANCELLED} else "ended from outside"
            raise ApprovalRefused(f"the run was {how} while it waited for an approval")
        if state.is_running():
            return


def _duration(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds:g} s"
    return f"{seconds / 3600:g} h"

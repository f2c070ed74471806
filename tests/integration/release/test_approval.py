"""Approval: a release waits with its plan for an answer; nothing is built or pushed before a yes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelling

from prefect_slipway.flows.run.approval import Approval, give_answer
from prefect_slipway.infra.domain.errors import ApprovalOutdated, ApprovalRefused, ApprovalTimedOut, InvalidOption
from prefect_slipway.infra.registry.client import RegistryClient
from tests.integration.release.conftest import Release, git
from tests.releases import Traces, result_of
from tests.waiting import calm_looks
from tests.warm import Command, WarmStarter

YES = Approval(answer="approve", by="Ada", comment="go")
NO = Approval(answer="refuse", by="Ada", comment="not on a Friday")


async def _run_named(name: str, accept: Callable[[FlowRun], bool]) -> FlowRun:
    """The newest run of that name, once it is as wanted."""
    named = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    async with get_client() as client:
        async for _ in calm_looks():
            for run in await client.read_flow_runs(flow_run_filter=named, sort="START_TIME_DESC"):  # type: ignore[arg-type]
                if run.state is not None and accept(run):
                    return run
    raise AssertionError(f"no run {name} came to be as wanted")


async def _paused(name: str) -> FlowRun:
    return await _run_named(name, lambda run: run.state is not None and run.state.is_paused())


async def _steps_of(run: FlowRun) -> list[str]:
    async with get_client() as client:
        found = await client.read_task_runs(sort="END_TIME_DESC")  # type: ignore[arg-type]
        return [task.name for task in found if task.flow_run_id == run.id]


async def _give(run: str, answer: Approval) -> None:
    """Answer as soon as the run takes it: the form comes a moment after the pause."""
    async for _ in calm_looks():
        try:
            await give_answer(run, answer)
            return
        except InvalidOption:
            pass
    raise AssertionError("the answer was not taken")


async def test_an_approved_release_goes_on(
    run_release: Release, repository: Path, registry: RegistryClient, traces: Traces
) -> None:
    """While it waits the version is reserved, the plan is to be read, and neither builder nor image is there."""
    began = time.monotonic()
    releasing = asyncio.ensure_future(run_release(source=str(repository), approval={"required": True}))
    run = await _paused(f"release {repository.name} 0.1.0")
    asked = time.monotonic()
    assert run.state is not None and run.state.message is not None
    assert run.state.message.startswith("waiting for an approval until ")
    assert "provision builder" not in await _steps_of(run)
    assert await registry.tags(repository.name) == []
    assert git(repository, "for-each-ref", "--format=%(refname)", "refs/slipway").split() == ["refs/slipway/v0.1.0"]
    async with get_client() as client:
        keys = run.state.state_details.run_input_keyset
        assert keys is not None
        # The form follows the pause.
        async for _ in calm_looks():
            with suppress(PrefectHTTPStatusError):
                description = await client.read_flow_run_input(run.id, keys["description"])
                break
    assert f"{repository.name}:0.1.0" in description
    await asyncio.sleep(5)
    answered = time.monotonic()
    await _give(str(run.id), YES)
    result = await releasing
    assert result.released
    # However slow the machine is: the time in which nobody answered is no part of it.
    assert result.duration_s <= time.monotonic() - began - (answered - asked)
    assert await registry.tags(repository.name) == ["0.1.0"]
    traces.assert_nothing_left()


async def test_a_refusal_undoes_the_reservation(
    run_release: Release, repository: Path, registry: RegistryClient, traces: Traces
) -> None:
    """The run ends as Refused, with who and why; the version is free again and nothing was pushed."""
    releasing = asyncio.ensure_future(run_release(source=str(repository), approval={"required": True}))
    run = await _paused(f"release {repository.name} 0.1.0")
    await _give(run.name, NO)
    with pytest.raises(ApprovalRefused, match="Ada refused: not on a Friday"):
        await releasing
    async with get_client() as client:
        state = (await client.read_flow_run(run.id)).state
    assert state is not None
    assert (state.type.value, state.name) == ("CANCELLED", "Refused")
    assert state.message == "Ada refused: not on a Friday"
    assert git(repository, "for-each-ref", "refs/slipway") == ""
    assert await registry.tags(repository.name) == []
    traces.assert_nothing_left()
    with pytest.raises(InvalidOption, match="is waiting for an approval"):
        await give_answer(str(run.id), YES)


async def test_nobody_answers(run_release: Release, repository: Path) -> None:
    """After its time the run fails and says so, and the version is free again; a cancelled one ends at once."""

    with pytest.raises(ApprovalTimedOut, match="nobody approved within 2 s"):
        await run_release(source=str(repository), approval={"required": True, "timeout_s": 2})
    run = await _run_named(f"release {repository.name} 0.1.0", lambda run: True)
    assert run.state is not None
    assert run.state.type.value == "FAILED"
    assert "ApprovalTimedOut: nobody approved within 2 s" in str(run.state.message)
    assert git(repository, "for-each-ref", "refs/slipway") == ""

    waiting = asyncio.ensure_future(run_release(source=str(repository), approval={"required": True}))
    run = await _paused(f"release {repository.name} 0.1.0")
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Cancelling())
    with pytest.raises(ApprovalRefused, match="the run was cancelled"):
        await waiting


async def test_what_was_approved_is_what_is_built(run_release: Release, source: Path, registry: RegistryClient) -> None:
    """A directory that changed while the answer was waited for is not released."""
    releasing = asyncio.ensure_future(run_release(source=str(source), approval={"required": True}))
    run = await _paused(f"release {source.name} 0.1.0")
    (source / "message").write_text("changed\n")
    await _give(str(run.id), YES)
    with pytest.raises(ApprovalOutdated):
        await releasing
    assert await registry.tags(source.name) == []


async def test_the_command_line_asks_and_answers(commands: WarmStarter, source: Path, traces: Traces) -> None:
    """The waiting command prints the plan and how to answer; `slipway approve` does that, and tells of trouble."""

    def wait() -> Command:
        release = commands.start("release", source, "--approval", "--format", "json")
        release.until("waiting until")
        return release

    name = f"release {source.name} 0.1.0"
    release = wait()
    said = commands.run("approve", name, "--refuse", "--comment", "no", "--by", "Ada")
    assert (said.code, said.stdout) == (0, f"{name}: Ada refused: no\n")
    ended = release.end()
    assert ended.code == 1
    assert "slipway: Ada refused: no\nNext: " in ended.stderr
    assert "Traceback" not in ended.stderr

    release = wait()
    run_id = traces.runs(name)[0]["id"]
    assert commands.run("approve", run_id).code == 0
    result = result_of(release.end())
    assert result["version"] == "0.1.0"
    none = commands.run("approve", run_id)
    assert (none.code, none.stdout) == (2, "")
    assert f"no run '{run_id}' is waiting for an approval" in none.stderr
    traces.assert_nothing_left()

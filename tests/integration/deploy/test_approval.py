"""A deploy that waits for an approval: before the rollout, whatever the answer is, and whether there is one."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest
from prefect import get_client
from prefect.states import Cancelling

from prefect_slipway.flows.reporting.events import DEPLOY_FAILED
from prefect_slipway.flows.run.approval import Approval
from prefect_slipway.infra.domain.errors import ApprovalRefused, ApprovalTimedOut
from prefect_slipway.infra.kubernetes.access.kinds import SECRET
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import running_images
from tests.releases import complaint
from tests.warm import Command, WarmStarter


async def assert_untouched(place: DeployPlace, before: object) -> None:
    """The workload is the object that it was, to the last write, and no pull Secret was made."""
    assert (await place.state()).obj == before
    assert await running_images(place.api) == {place.images["good"]}
    assert await place.api.find(SECRET, "") == []


async def waiting(commands: WarmStarter, place: DeployPlace, behaviour: str) -> Command:
    """`slipway deploy --approval`, once it has asked."""
    options = ("--workload", "deployment/app", "--settle-s", "0.5", "--approval", "--format", "json")
    secret = ("--pull-credentials", place.options["pull_credentials"])
    command = commands.start("deploy", place.images[behaviour], *options, *secret, env=place.env)
    await asyncio.to_thread(command.until, "waiting until")
    return command


async def test_nobody_answers(place: DeployPlace) -> None:
    """After its time the run is Failed with the cause, which its event tells as well; nothing was rolled out."""
    await place.make()
    before = (await place.state()).obj
    with pytest.raises(ApprovalTimedOut, match="nobody approved within 2 s"):
        await place.deploy("better", approval=True, approval_timeout_s=2)
    await assert_untouched(place, before)
    run = (await place.runs("deploy"))[0]
    assert run["state"]["type"] == "FAILED"
    assert "ApprovalTimedOut: nobody approved within 2 s" in run["state"]["message"]
    (failed,) = await place.events(DEPLOY_FAILED)
    assert (failed["payload"]["cause"], failed["payload"]["run"]) == ("ApprovalTimedOut", run["id"])
    # Whoever deploys the same again is asked again, and nothing is in the way.
    assert (await place.deploy("better")).changed


async def test_a_run_that_is_cancelled_while_it_waits_changes_nothing(place: DeployPlace) -> None:
    """It ends at once, and not when the time for an answer is over."""
    await place.make()
    before = (await place.state()).obj
    deploying = asyncio.create_task(place.deploy("better", approval=True))
    run = await place.until("deploy", lambda run: run["state"]["type"] == "PAUSED")
    with place.prefect():
        async with get_client() as client:
            await client.set_flow_run_state(run["id"], Cancelling())
    with pytest.raises(ApprovalRefused, match="the run was cancelled"):
        await deploying
    await assert_untouched(place, before)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_command_that_ends_while_it_waits_has_changed_nothing(
    commands: WarmStarter, place: DeployPlace, number: signal.Signals
) -> None:
    """Killed, or told to end; nothing has to be undone, and the same command asks again."""
    await place.make()
    before = (await place.state()).obj
    command = await waiting(commands, place, "better")
    command.signal(number)
    ended = await asyncio.to_thread(command.end)
    assert ended.code == (-number if number is signal.SIGKILL else 130), ended.stderr
    await assert_untouched(place, before)
    if number is signal.SIGTERM:
        assert "Traceback" not in ended.stderr
        assert "the rollout was interrupted: nothing was changed\n" in ended.stderr
        await place.until("deploy", lambda run: run["state"]["type"] in {"CANCELLED", "CRASHED", "FAILED"})

    command = await waiting(commands, place, "better")
    run = (await place.runs("deploy"))[0]["id"]
    assert (await asyncio.to_thread(commands.run, "approve", run, env=place.env)).code == 0
    assert (await asyncio.to_thread(command.end)).code == 0
    assert await running_images(place.api) == {place.images["better"]}


async def test_a_rollback_that_is_told_to_end_before_it_has_set_anything_says_so(
    commands: WarmStarter, place: DeployPlace
) -> None:
    """No image was taken back, as none was set."""
    await place.make()
    for behaviour in ("good", "better"):
        await place.deploy(behaviour)
    before = (await place.state()).obj
    options = ("--settle-s", "0.5", "--approval", "--pull-credentials", place.options["pull_credentials"])
    command = commands.start("rollback", "deployment/app", *options, env=place.env)
    await asyncio.to_thread(command.until, "waiting until")
    command.signal(signal.SIGTERM)
    ended = await asyncio.to_thread(command.end)
    assert ended.code == 130, ended.stderr
    assert "the rollout was interrupted: nothing was changed\n" in ended.stderr
    assert "back" not in ended.stderr.rpartition("slipway: ")[2]
    assert (await place.state()).obj == before


async def test_a_rollback_waits_for_its_approval_as_well(place: DeployPlace) -> None:
    """A refusal leaves what runs, and what may be gone back to."""
    await place.make()
    for behaviour in ("good", "better"):
        await place.deploy(behaviour)
    before = (await place.state()).obj
    rolling_back = asyncio.create_task(place.rollback(approval=True))
    question = await place.answer("rollback", Approval(answer="refuse", by="Ada", comment="it was the database"))
    assert f"Roll back to {place.images.repository} 1.0.0" in question
    with pytest.raises(ApprovalRefused, match="Ada refused: it was the database"):
        await rolling_back
    assert (await place.state()).obj == before
    assert (await place.runs("rollback"))[0]["state"]["name"] == "Refused"
    assert (await place.rollback()).reference == place.images["good"]


async def test_the_command_asks_before_the_rollout(commands: WarmStarter, place: DeployPlace) -> None:
    """It shows what runs and what would; `slipway approve` refuses (nothing is changed, 1) or lets it go on (0)."""
    await place.make()
    before = (await place.state()).obj
    command = await waiting(commands, place, "better")
    await assert_untouched(place, before)
    run = (await place.runs("deploy"))[0]
    assert run["state"]["name"] == "Paused"
    answer = ("--refuse", "--comment", "not on a Friday", "--by", "Ada")
    said = await asyncio.to_thread(commands.run, "approve", run["id"], *answer, env=place.env)
    assert (said.code, said.stdout) == (0, f"{run['name']}: Ada refused: not on a Friday\n")
    ended = await asyncio.to_thread(command.end)
    assert "Ada refused: not on a Friday" in complaint(ended)
    for shown in (f"as {place.images['better']}", f"instead of {place.images['good']}"):
        assert shown in ended.stderr
    await assert_untouched(place, before)
    state = await asyncio.to_thread(place.server.state, run["id"])
    assert (state["type"], state["name"]) == ("CANCELLED", "Refused")

    command = await waiting(commands, place, "better")
    run = (await place.runs("deploy"))[0]
    assert (await asyncio.to_thread(commands.run, "approve", run["id"], env=place.env)).code == 0
    ended = await asyncio.to_thread(command.end)
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["reference"] == place.images["better"]
    assert await running_images(place.api) == {place.images["better"]}

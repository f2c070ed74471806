"""kill -9 of a deploy at each step, then again: the image is rolled out once, and what was good before is not lost."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import LAST_WORDS, running_images
from tests.releases import complaint
from tests.warm import Command, Ended, WarmStarter

STEPS = ["> look at the workload", "> write the pull secret", "> set image", "checking for", "> confirm"]


def start(commands: WarmStarter, place: DeployPlace, behaviour: str, *options: str) -> Command:
    usual = ("--pull-credentials", place.options["pull_credentials"], "--settle-s", "0.5", "--format", "json")
    image = place.images[behaviour]
    return commands.start("deploy", image, "--workload", "deployment/app", *usual, *options, env=place.env)


async def kill_at(command: Command, moment: str) -> None:
    await asyncio.to_thread(command.until, moment)
    command.kill()
    assert (await asyncio.to_thread(command.end)).code == -signal.SIGKILL


async def end(command: Command) -> Ended:
    return await asyncio.to_thread(command.end)


async def test_a_deploy_that_is_killed_again_and_again_is_rolled_out(commands: WarmStarter, place: DeployPlace) -> None:
    """Each run is killed one step further than the one before; the last one finishes, and knows what ran before."""
    await place.make()
    await place.deploy("good")
    for moment in STEPS:
        await kill_at(start(commands, place, "better"), moment)
    ended = await end(start(commands, place, "better"))
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["previous"] == place.images["good"]
    state = await place.state()
    assert (state.image, state.confirmed, state.previous) == (place.images["better"], True, place.images["good"])
    assert len(state.pull_secrets) == 1
    assert await running_images(place.api) == {place.images["better"]}


async def test_a_bad_image_whose_deploy_was_killed_is_taken_back(commands: WarmStarter, place: DeployPlace) -> None:
    """By the same command, and by another image's deploy: what is gone back to is what was seen to run."""
    await place.make()
    await place.deploy("good")
    await kill_at(start(commands, place, "unready"), "waiting for")
    assert (await place.state()).pending
    again = await end(start(commands, place, "unready", "--timeout-s", "1"))
    assert "readiness probe" in complaint(again) and "rolled back to" in again.stderr
    assert (await place.state()).image == place.images["good"]
    await kill_at(start(commands, place, "unready"), "waiting for")
    other = await end(start(commands, place, "crashing"))
    assert LAST_WORDS in complaint(other)
    assert await running_images(place.api) == {place.images["good"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_interrupted_command_leaves_what_ran(
    commands: WarmStarter, place: DeployPlace, number: signal.Signals
) -> None:
    """It says what it did, and ends with 130."""
    await place.make()
    await place.deploy("good")
    command = start(commands, place, "unready")
    await asyncio.to_thread(command.until, "waiting for")
    command.signal(number)
    ended = await end(command)
    assert "can run the same command again" in complaint(ended, 130)
    assert f"interrupted: {place.images['good']} was restored" in ended.stderr
    state = await place.state()
    assert (state.image, state.confirmed) == (place.images["good"], True)


async def test_a_rollback_that_was_killed_goes_on(commands: WarmStarter, place: DeployPlace) -> None:
    """`previous` still means the same release when the command is given again."""
    await place.make()
    for behaviour in ("good", "better"):
        await place.deploy(behaviour)
    options = ("--pull-credentials", place.options["pull_credentials"], "--settle-s", "0.5")
    await kill_at(commands.start("rollback", "deployment/app", *options, env=place.env), "checking for")
    ended = await end(commands.start("rollback", "deployment/app", *options, env=place.env))
    assert ended.code == 0, ended.stderr
    state = await place.state()
    assert (state.image, state.confirmed) == (place.images["good"], True)
    assert state.rolled_out(place.images.digests["better"]) is None

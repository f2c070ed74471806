"""A set that waits for an approval: before any of its images is built, whatever the answer is."""

from __future__ import annotations

from typing import Any

from tests.integration.bake.conftest import TARGETS, ImageSet, unique, versions
from tests.releases import complaint
from tests.warm import Command, WarmStarter


def ask(commands: WarmStarter, image_set: ImageSet, *options: str) -> Command:
    return commands.start("bake", "--approval", "--format", "json", *options, cwd=image_set.source)


def waiting(commands: WarmStarter, image_set: ImageSet) -> tuple[Command, str]:
    """A set that has asked, and its run's id; its version is reserved, and nothing of it is anywhere."""
    command = ask(commands, image_set)
    command.until("waiting until")
    run = image_set.traces.runs(f"{image_set.prefix} 0.1.0")[0]
    assert (run["state"]["type"], run["state"]["name"]) == ("PAUSED", "Paused")
    assert image_set.reservations() == ["refs/slipway/v0.1.0"]
    assert_nothing_pushed(image_set)
    return command, run["id"]


def assert_nothing_pushed(image_set: ImageSet) -> None:
    assert {target: image_set.tags(target) for target in TARGETS} == {target: [] for target in TARGETS}
    assert image_set.traces.images() == []


def state(image_set: ImageSet) -> dict[str, Any]:
    return image_set.traces.state(f"{image_set.prefix} 0.1.0")


def test_a_refused_set_gives_its_version_back(commands: WarmStarter, image_set: ImageSet) -> None:
    """The question names every image; the run ends as Refused with who and why, and the next set gets the version."""
    command, run = waiting(commands, image_set)
    answer = ("--refuse", "--by", "Ada", "--comment", "not on a Friday")
    assert commands.run("approve", run, *answer).code == 0
    ended = command.end()
    assert "Ada refused: not on a Friday" in complaint(ended)
    for target in TARGETS:
        assert f"{image_set.prefix}/{target}:0.1.0" in ended.stderr
    assert "> build" not in ended.stderr and "> provision builder" not in ended.stderr
    assert (state(image_set)["name"], state(image_set)["message"]) == ("Refused", "Ada refused: not on a Friday")
    image_set.assert_released()

    command, run = waiting(commands, image_set)
    assert commands.run("approve", run).code == 0
    assert set(versions(command.end())) == set(TARGETS)
    image_set.assert_released("0.1.0")


def test_what_was_approved_is_what_is_built(commands: WarmStarter, image_set: ImageSet) -> None:
    """A source that changed while the answer was waited for is not released, though somebody said yes."""
    command, run = waiting(commands, image_set)
    image_set.write("api", unique())
    assert commands.run("approve", run).code == 0
    said = complaint(command.end())
    assert "changed while the release waited for its approval" in said
    image_set.assert_released()


def test_a_set_that_nobody_approves_fails(commands: WarmStarter, image_set: ImageSet) -> None:
    """With the cause, after its time; the version is free."""
    ended = ask(commands, image_set, "--approval-timeout-s", "2").end()
    assert "nobody approved within 2 s" in complaint(ended)
    assert state(image_set)["type"] == "FAILED"
    assert "ApprovalTimedOut: nobody approved within 2 s" in state(image_set)["message"]
    image_set.assert_released()

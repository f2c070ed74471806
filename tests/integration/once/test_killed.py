"""kill -9 at each step, then the same command again: one image, one tag, no version burnt."""

from __future__ import annotations

import pytest

from tests.git_repository import git
from tests.integration.once.conftest import BUILDING, Place, a_tag_is_held, hold_tags, let_tags_pass
from tests.releases import result_of
from tests.waiting import wait_until
from tests.warm import WarmStarter

STEPS = ["> provision builder", "> plan version", BUILDING, "> verify", "> tag", "> record"]


def kill_at(commands: WarmStarter, place: Place, moment: str, *options: str) -> None:
    release = commands.start("release", place.source, *options, "--format", "json")
    release.until(moment)
    release.kill()
    assert release.end().code == -9


def test_a_release_that_is_killed_again_and_again_is_released_once(commands: WarmStarter, everywhere: Place) -> None:
    """Each run is killed one step further than the one before it; the last one finishes what they began."""
    for moment in STEPS:
        kill_at(commands, everywhere, moment)
    result = result_of(commands.run("release", everywhere.source, "--format", "json"))
    assert result["version"] == "0.1.0"
    assert result["digest"] == everywhere.digest("0.1.0")
    everywhere.assert_released("0.1.0")


@pytest.mark.parametrize("moment", [BUILDING, "> record"])
def test_a_killed_release_is_finished_by_the_same_command(commands: WarmStarter, remote: Place, moment: str) -> None:
    """Straight after the kill: in the middle of the build, and when all is public."""
    kill_at(commands, remote, moment)
    digest = remote.digest("0.1.0") if remote.tags() else None
    result = result_of(commands.run("release", remote.source, "--format", "json"))
    assert result["version"] == "0.1.0"
    assert digest in {None, result["digest"]}
    remote.assert_released("0.1.0")


def test_a_release_that_was_killed_when_all_was_done_is_whole(commands: WarmStarter, directory: Place) -> None:
    """In the last step, which ends the reservation: the version is there once, finished again or followed."""
    kill_at(commands, directory, "> clean up")
    digest = directory.digest("0.1.0")
    result = result_of(commands.run("release", directory.source, "--format", "json"))
    assert directory.digest("0.1.0") == digest
    directory.assert_released(*{"0.1.0", result["version"]})


def test_a_named_version_that_was_killed_is_finished(commands: WarmStarter, remote: Place) -> None:
    """The same with --version, and with the next release after it."""
    kill_at(commands, remote, "> record", "--version", "1.0.0")
    again = result_of(commands.run("release", remote.source, "--version", "1.0.0", "--format", "json"))
    assert again["digest"] == remote.digest("1.0.0")
    remote.assert_released("1.0.0")


def test_a_kill_between_the_registrys_tag_and_gits_is_finished(commands: WarmStarter, remote: Place) -> None:
    """The image is public, its git tag is not yet: the rerun makes that tag, and no other version."""
    served = remote.git
    assert served is not None
    hold_tags(served)
    release = commands.start("release", remote.source, "--format", "json")
    release.until("> tag")
    wait_until(lambda: remote.tags() == ["0.1.0"] and a_tag_is_held(served))
    release.kill()
    release.end()
    let_tags_pass(served)
    digest = remote.digest("0.1.0")
    assert git(served, "tag") == ""
    result = result_of(commands.run("release", remote.source, "--format", "json"))
    assert (result["version"], result["digest"]) == ("0.1.0", digest)
    remote.assert_released("0.1.0")


def test_what_was_killed_there_does_not_block_another_source(commands: WarmStarter, remote: Place) -> None:
    """The source has changed since: the version that only the registry knows is passed over, never overwritten."""
    served = remote.git
    assert served is not None
    hold_tags(served)
    release = commands.start("release", remote.source, "--format", "json")
    release.until("> tag")
    wait_until(lambda: remote.tags() == ["0.1.0"] and a_tag_is_held(served))
    release.kill()
    release.end()
    let_tags_pass(served)
    digest = remote.digest("0.1.0")
    remote.change()
    result = result_of(commands.run("release", remote.source, "--format", "json"))
    assert result["version"] == "0.2.0"
    assert remote.tags() == ["0.1.0", "0.2.0"]
    assert remote.digest("0.1.0") == digest
    assert git(served, "tag") == "v0.2.0"
    remote.traces.assert_nothing_left()


def test_a_release_that_was_killed_while_it_waited_blocks_nobody(commands: WarmStarter, everywhere: Place) -> None:
    """kill -9 while an approval is waited for: the next run takes the version over, and a named one is free as well."""
    kill_at(commands, everywhere, "waiting until", "--approval")
    assert result_of(commands.run("release", everywhere.source, "--format", "json"))["version"] == "0.1.0"
    everywhere.change()
    kill_at(commands, everywhere, "waiting until", "--approval", "--version", "1.0.0")
    named = commands.run("release", everywhere.source, "--version", "1.0.0", "--format", "json")
    assert result_of(named)["version"] == "1.0.0"
    everywhere.assert_released("0.1.0", "1.0.0")


@pytest.mark.parametrize("options", [["--bump", "auto"], ["--only-new"]])
def test_a_kill_when_all_was_public_leaves_no_reservation(
    commands: WarmStarter, remote: Place, options: list[str]
) -> None:
    """Killed after git's tag: the same command finds no new commit, and finishes that release instead of leaving it."""
    kill_at(commands, remote, "> record", *options)
    again = result_of(commands.run("release", remote.source, *options, "--format", "json"))
    assert (again["version"], again["released"]) == ("0.1.0", True)
    assert again["reason"] == "finishing an interrupted release"
    remote.assert_released("0.1.0")
    nothing = result_of(commands.run("release", remote.source, *options, "--format", "json"))
    assert (nothing["released"], nothing["version"]) == (False, None)

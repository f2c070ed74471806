"""A release that fails between its first public name and its last: the same command finishes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import Front
from tests.git_repository import git
from tests.integration.once.conftest import Detour, Place, hold_tags, let_tags_pass
from tests.releases import complaint, result_of
from tests.warm import Ended, WarmStarter

IMMUTABLE = b'{"errors": [{"code": "TAG_INVALID", "message": "the tag is immutable"}]}'


@dataclass(frozen=True)
class Fronted:
    """Releases of a place through a front that spoils requests."""

    place: Place
    detour: Detour
    commands: WarmStarter

    @property
    def front(self) -> Front:
        return self.detour.front

    def release(self, *options: str) -> Ended:
        options += tuple(self.detour.options(self.place.name))
        return self.commands.run("release", self.place.source, *options, env=self.detour.env)


@pytest.fixture
def fronted(both: Place, detour: Detour, commands: WarmStarter) -> Fronted:
    return Fronted(both, detour, commands)


def test_a_moving_tag_that_may_not_move_is_a_warning(fronted: Fronted) -> None:
    """The version is public, git's tag too; the report says what was not moved, and the next release goes on."""
    place = fronted.place
    first = result_of(fronted.release("--version", "1.0.0", "--moving-tags"))
    assert (first["tags"], first["warnings"]) == (["1.0.0", "1", "1.0", "latest"], [])
    place.change()
    fronted.front.spoil("PUT", "/manifests/(1|latest)$", 409, body=IMMUTABLE)
    ended = fronted.release("--version", "1.1.0", "--moving-tags")
    second = result_of(ended)
    assert second["tags"] == ["1.1.0", "1.1"]
    assert [warning.split(" was not moved")[0] for warning in second["warnings"]] == [
        f"{fronted.front.host}/{place.name}:1",
        f"{fronted.front.host}/{place.name}:latest",
    ]
    assert "WARN: " in ended.stderr
    assert place.digest("latest") == first["digest"]
    assert place.tags() == ["1", "1.0", "1.0.0", "1.1", "1.1.0", "latest"]
    if place.git is not None:
        assert git(place.git, "tag").split() == ["v1.0.0", "v1.1.0"]
        assert git(place.git, "for-each-ref", "refs/slipway") == ""


def test_what_fails_after_the_version_is_public_is_finished_by_the_same_command(fronted: Fronted) -> None:
    """The registry breaks down at the first moving tag: the same command moves them, and makes no other version."""
    place = fronted.place
    fronted.front.spoil("PUT", "/manifests/0.1$", 500)
    complaint(fronted.release("--moving-tags"))
    digest = place.digest("0.1.0")
    fronted.front.heal()
    again = result_of(fronted.release("--moving-tags"))
    assert (again["version"], again["digest"]) == ("0.1.0", digest)
    assert again["tags"] == ["0.1.0", "0.1", "latest"]
    assert place.tags() == ["0.1", "0.1.0", "latest"]
    if place.git is not None:
        assert git(place.git, "for-each-ref", "refs/slipway") == ""


def test_a_lie_about_the_tags_digest_makes_no_second_version(fronted: Fronted) -> None:
    """What the registry answers to the tag's PUT does not count, what the tag names does."""
    place = fronted.place
    lie = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    fronted.front.rewrite("PUT", "/manifests/0.1.0$", lie)
    result = result_of(fronted.release())
    assert result["version"] == "0.1.0"
    assert place.digest("0.1.0") == result["digest"]
    place.assert_released("0.1.0")


def test_a_tag_that_was_written_by_another_in_the_same_moment_is_not_ours(fronted: Fronted) -> None:
    """Somebody pushes the very tag by hand while ours is on its way, and is the last to write: that is told."""
    place = fronted.place
    other = result_of(fronted.release("--version", "9.0.0"))
    place.change()
    manifest = json.dumps({"other": "image"}).encode()
    fronted.front.spoil("PUT", "/manifests/10.0.0$", 201)
    # Until the tag's PUT nothing is there: for the plan, for the tag step, and for the registry's own ledger.
    fronted.front.spoil("HEAD", "/manifests/10.0.0$", 404, times=2 if place.git is not None else 3)
    fronted.front.spoil("HEAD", "/manifests/10.0.0$", 200)
    fronted.front.spoil("GET", "/manifests/10.0.0$", 200, body=manifest)
    said = complaint(fronted.release("--version", "10.0.0"))
    assert "another release wrote" in said
    assert place.tags() == ["9.0.0"]
    assert place.digest("9.0.0") == other["digest"]


def test_a_git_tag_that_is_refused_is_made_by_the_same_command(
    commands: WarmStarter, remote: Place, tmp_path: Path
) -> None:
    """The image is public, git's server refuses the tag: once it lets it pass, the same command makes it."""
    assert remote.git is not None
    hold_tags(remote.git)
    (remote.git / "held").unlink()
    complaint(commands.run("release", remote.source, "--format", "json"))
    digest = remote.digest("0.1.0")
    (remote.git / "held").touch()
    let_tags_pass(remote.git)
    result = result_of(commands.run("release", remote.source, "--format", "json"))
    assert (result["version"], result["digest"]) == ("0.1.0", digest)
    remote.assert_released("0.1.0")

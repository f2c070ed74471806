"""Releases started at the same moment, and the same version asked for twice."""

from __future__ import annotations

from pathlib import Path

from tests.git_repository import commit, git
from tests.integration.once.conftest import Detour, Place, hold_tags_for
from tests.releases import complaint, result_of
from tests.warm import WarmStarter


def test_two_releases_of_one_source_get_two_versions(commands: WarmStarter, everywhere: Place) -> None:
    """Each its own, never the same tag twice; also where one comes late enough to see the other's."""
    both = [commands.start("release", everywhere.source, "--again", "--format", "json") for _ in range(2)]
    results = [result_of(release.end()) for release in both]
    assert sorted(result["version"] for result in results) == ["0.1.0", "0.2.0"]
    for result in results:
        assert everywhere.digest(result["version"]) == result["digest"]
    everywhere.assert_released("0.1.0", "0.2.0")


def test_four_clones_release_at_once(commands: WarmStarter, remote: Place, tmp_path: Path) -> None:
    """Four checkouts with a commit each, one remote: four versions, each commit with its own tag."""
    assert remote.git is not None
    clones = []
    for number in range(4):
        clone = tmp_path / str(number) / remote.name
        git(tmp_path, "clone", "--quiet", str(remote.git), str(clone))
        commit(
            clone, f"feat: number {number}", {"Dockerfile": (clone / "Dockerfile").read_text() + f"ENV N={number}\n"}
        )
        clones.append(clone)
    # One that came after another's tag would be refused: its history has no version, and 0.1.0 is another's.
    hold_tags_for(remote.git, 4)
    running = [commands.start("release", clone, "--format", "json") for clone in clones]
    results = [result_of(release.end()) for release in running]
    versions = sorted(result["version"] for result in results)
    assert versions == ["0.1.0", "0.2.0", "0.3.0", "0.4.0"]
    for result in results:
        assert git(remote.git, "rev-parse", f"v{result['version']}^{{commit}}") == result["revision"]
        assert remote.digest(result["version"]) == result["digest"]
    remote.assert_released(*versions)


def test_one_version_asked_for_twice_at_once_has_one_winner(commands: WarmStarter, both: Place) -> None:
    """The other one loses by name; or comes late enough to find that very release, and says it is there."""
    running = [commands.start("release", both.source, "--version", "1.0.0", "--format", "json") for _ in range(2)]
    ended = [release.end() for release in running]
    won = [result_of(one) for one in ended if one.code == 0]
    assert won
    assert {result["digest"] for result in won} == {both.digest("1.0.0")}
    for lost in (one for one in ended if one.code != 0):
        assert "1.0.0" in complaint(lost)
    both.assert_released("1.0.0")


def test_the_same_version_again_is_a_success(commands: WarmStarter, both: Place) -> None:
    """Same source, same digest, nothing built; with another source it is refused, and the tag stays."""
    first = result_of(commands.run("release", both.source, "--version", "1.0.0", "--format", "json"))
    again = commands.run("release", both.source, "--version", "1.0.0", "--format", "json")
    assert result_of(again)["digest"] == first["digest"]
    assert "exporting to image" not in again.stderr
    both.change()
    said = complaint(commands.run("release", both.source, "--version", "1.0.0", "--format", "json"))
    assert "1.0.0" in said
    assert "Next: choose another --version or --bump; a released version is never overwritten" in said
    assert both.digest("1.0.0") == first["digest"]
    both.assert_released("1.0.0")


def test_the_same_version_with_other_options_is_refused(commands: WarmStarter, directory: Place) -> None:
    """What changes the image counts, not the files alone."""
    first = result_of(commands.run("release", directory.source, "--version", "1.0.0", "--format", "json"))
    options = ("--version", "1.0.0", "--label", "team=other", "--format", "json")
    complaint(commands.run("release", directory.source, *options))
    assert directory.digest("1.0.0") == first["digest"]


def test_two_machines_that_share_only_the_registry_get_two_versions(
    commands: WarmStarter, directory: Place, detour: Detour, tmp_path: Path
) -> None:
    """Two state folders, and a registry that takes its time with each tag: none overwrites the other's, and no
    reservation stays."""
    detour.front.slow_down("PUT", "/manifests/(?!sha256:)", lambda: 1.0)
    arguments: list[str | Path] = ["release", directory.source, *detour.options(directory.name)]
    arguments += ["--builder", directory.traces.connection.builder, "--network", "host"]
    running = [
        commands.start(*arguments, env={**detour.env, "SLIPWAY_HOME": str(tmp_path / f"machine-{number}")})
        for number in range(2)
    ]
    results = [result_of(release.end()) for release in running]
    assert sorted(result["version"] for result in results) == ["0.1.0", "0.2.0"]
    for result in results:
        assert directory.digest(result["version"]) == result["digest"]
    directory.assert_released("0.1.0", "0.2.0")


def test_moving_tags_never_move_back(commands: WarmStarter, directory: Place) -> None:
    """An older line's patch moves its own tags alone, a prerelease none."""

    def release(version: str) -> str:
        directory.change()
        options = ("--version", version, "--moving-tags", "--format", "json")
        return str(result_of(commands.run("release", directory.source, *options))["digest"])

    digests = {version: release(version) for version in ("1.1.0", "1.0.1", "1.2.0-rc.1")}
    assert directory.tags() == ["1", "1.0", "1.0.1", "1.1", "1.1.0", "1.2.0-rc.1", "latest"]
    for tag, version in {"1": "1.1.0", "1.1": "1.1.0", "latest": "1.1.0", "1.0": "1.0.1"}.items():
        assert directory.digest(tag) == digests[version], tag

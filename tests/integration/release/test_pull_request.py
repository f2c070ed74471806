"""A release pull request: it follows its branch, and merging it is the approval of its version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.forges.double import REPOSITORY, TOKEN, ForgeDouble, forge_double
from tests.git_repository import commit, git, make_bare
from tests.git_server import serve_git
from tests.integration.release.keys import Place
from tests.releases import Traces, complaint, make_source, result_of
from tests.warm import Ended, WarmStarter

BRANCH = "slipway/release-main"


@dataclass(frozen=True)
class Team:
    """A repository on a git server, a clone of it, and the forge that it is on."""

    commands: WarmStarter
    clone: Path
    bare: Path
    double: ForgeDouble
    options: tuple[str, ...]
    env: dict[str, str]

    def run(self, command: str, *more: str) -> Ended:
        return self.commands.run(command, *self.options, "--pull-request", *more, env=self.env)

    def push(self, message: str, **files: str) -> str:
        revision = commit(self.clone, message, files)
        git(self.clone, "push", "--quiet", str(self.bare), "main", "--tags")
        return revision

    def at(self, path: str, ref: str = BRANCH) -> str:
        return git(self.bare, "show", f"{ref}:{path}")

    @property
    def refs(self) -> list[str]:
        return git(self.bare, "for-each-ref", "--format=%(refname)").splitlines()


@pytest.fixture(params=["github", "gitlab", "gitea"])
def team(
    request: pytest.FixtureRequest, commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> Iterator[Team]:
    source = make_source(tmp_path / f"app-asked-{request.param}")
    (source / "package.json").write_text('{\n  "version": "0.1.0"\n}\n')
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: first", {})
    git(source, "tag", "v0.1.0")
    root = tmp_path / "git"
    root.mkdir()
    bare = make_bare(root / f"{source.name}.git", source)
    git(bare, "config", "http.receivepack", "true")
    place.vault.put("secret/forge", {"token": TOKEN})
    with forge_double(request.param) as double, serve_git(root) as server:
        forge = ("--forge", double.kind, "--forge-url", double.api, "--forge-repository", REPOSITORY[double.kind])
        image = ("--image", f"{traces.connection.registry}/{source.name}", "--version-file", "package.json")
        options = (server.url(bare.name), "--bump", "auto", *image, *forge, "--forge-token", "vault:secret/forge")
        yield Team(commands, source, bare, double, (*options, *place.credentials), place.as_root())


def test_merging_is_the_approval(team: Team, traces: Traces) -> None:
    """Until then each run brings the pull request up to date, and releases nothing."""
    team.push("fix: a bug")
    planned = json.loads(team.run("plan").stdout)
    place = f"{REPOSITORY[team.double.kind]} on 127.0.0.1:{team.double.port}"
    (effect,) = planned["effects"]
    assert effect.startswith(
        f"open or update the pull request `chore: release 0.1.1` into main of {place}, and release"
    )
    assert team.double.seen == [] and BRANCH not in str(team.refs)

    result = result_of(team.run("release"))
    assert not result["released"] and "0.1.1 waits for its pull request: http://127.0.0.1" in result["reason"]
    (pull,) = team.double.pulls
    assert (pull["title"], result["forge"]["did"]) == ("chore: release 0.1.1", "created")
    assert "a bug" in team.at("CHANGELOG.md") and '"version": "0.1.1"' in team.at("package.json")
    assert team.refs == ["refs/heads/main", f"refs/heads/{BRANCH}", "refs/tags/v0.1.0"]
    first = git(team.bare, "rev-parse", BRANCH)
    writes = list(team.double.writes)
    assert result_of(team.run("release"))["forge"]["did"] == "unchanged"
    assert team.double.writes == writes and git(team.bare, "rev-parse", BRANCH) == first

    head = team.push("feat: more")
    assert "0.2.0 waits" in result_of(team.run("release", "--ref", head))["reason"]
    assert pull["title"] == "chore: release 0.2.0" and len(team.double.pulls) == 1
    assert git(team.bare, "rev-parse", f"{BRANCH}^") == head
    assert '"version": "0.2.0"' in team.at("package.json") and "0.1.1" not in team.at("CHANGELOG.md")

    merged = _merge(team, pull)
    released = result_of(team.run("release"))
    assert (released["released"], released["version"], released["revision"]) == (True, "0.2.0", merged)
    assert released["reason"].startswith("Release-As: 0.2.0 in ")
    assert git(team.bare, "rev-parse", "v0.2.0^{commit}") == merged
    assert "more" in team.double.body("v0.2.0") and "0.2.0" in traces.tags(team.clone.name)
    again = result_of(team.run("release"))
    assert not again["released"] and "already released" in again["reason"] and len(team.double.pulls) == 1

    team.push("fix: later")
    assert "0.2.1 waits" in result_of(team.run("release"))["reason"]
    changelog = team.at("CHANGELOG.md")
    assert len(team.double.pulls) == 2 and changelog.index("0.2.1") < changelog.index("0.2.0")


def test_a_branch_that_people_worked_on_stays(team: Team) -> None:
    """What is on it that Slipway did not write would be lost."""
    team.push("fix: a bug")
    result_of(team.run("release"))
    git(team.clone, "fetch", "--quiet", str(team.bare), BRANCH)
    git(team.clone, "checkout", "--quiet", "-b", "other", "FETCH_HEAD")
    theirs = commit(team.clone, "docs: better words", {"CHANGELOG.md": "Ours\n"})
    git(team.clone, "push", "--quiet", str(team.bare), f"other:{BRANCH}")
    git(team.clone, "checkout", "--quiet", "main")
    team.push("feat: more")
    said = complaint(team.run("release"))
    assert f"the newest commit of {BRANCH}" in said and "is not Slipway's" in said
    assert git(team.bare, "rev-parse", BRANCH) == theirs
    for options, wrong in ((("--bump", "minor"), "--bump auto"), (("--version", "1.0.0"), "without --version")):
        assert wrong in complaint(team.run("release", *options), code=2)
    # Nor does the pull request approve itself, by whatever name it is released.
    for ref in (BRANCH, f"refs/heads/{BRANCH}", theirs):
        assert "is merged into a branch" in complaint(team.run("release", "--ref", ref), code=2)
    ended = team.commands.run("release", team.clone, *team.options[1:], "--pull-request", env=team.env)
    assert "'origin' is none" in complaint(ended, code=2)


def _merge(team: Team, pull: dict[str, Any]) -> str:
    """As the forge's button does it: a merge commit, or a squash with the pull request's text."""
    git(team.clone, "fetch", "--quiet", str(team.bare), BRANCH)
    if team.double.kind == "gitlab":
        git(team.clone, "merge", "--quiet", "--no-ff", "--message", "Merge branch 'slipway/release-main'", "FETCH_HEAD")
    elif team.double.kind == "github":
        git(team.clone, "merge", "--quiet", "--squash", "FETCH_HEAD")
        git(team.clone, "commit", "--quiet", "--message", f"{pull['title']} (#1)\n\n{pull['body']}")
    else:
        git(team.clone, "merge", "--quiet", "--ff-only", "FETCH_HEAD")
    git(team.clone, "push", "--quiet", str(team.bare), "main")
    pull["state"] = "merged" if team.double.kind == "gitlab" else "closed"
    return git(team.clone, "rev-parse", "HEAD")

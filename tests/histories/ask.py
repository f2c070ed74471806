"""Asks other tools what they would release, and writes it to peers.json. The tests need none of them.

`python -m tests.histories.ask BIN NODE_MODULES`: the folder with `semantic-release` (Python's), `cz` and `git-cliff`
(pip install python-semantic-release commitizen git-cliff), and the one with Node's packages (npm install
semantic-release release-please conventional-changelog-conventionalcommits).

Each is used as it is installed, but for how its tags look (`v1.2.3`) and what its branches are.
python-semantic-release may have versions below 1.0.0, semantic-release reads commits by its preset for Conventional
Commits. release-please asks GitHub for commits and releases: here its parser, notes and versioning strategy get the
commits since the highest version in the history. A tool that fails refuses; one that says the last version once more
has nothing to release.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any, cast

from prefect_slipway.infra.domain.version import Version, latest, version_of_git_tag
from tests.git_repository import git, make_bare
from tests.histories.build import PEERS, History, build, read_table

_PYTHON = {"python-semantic-release": "semantic-release", "commitizen": "cz", "git-cliff": "git-cliff"}
_NODE = ("semantic-release", "release-please")
_PSR = """
[semantic_release]
allow_zero_version = true
[semantic_release.branches.any]
match = ".*"
prerelease = {prerelease}
prerelease_token = "{token}"
[semantic_release.remote]
type = "github"
url = "https://github.com/owner/repository.git"
"""
_CZ = """
[tool.commitizen]
name = "cz_conventional_commits"
version_provider = "scm"
version_scheme = "semver2"
tag_format = "v$version"
"""


def main() -> None:
    bin_folder, modules = (Path(argument).resolve() for argument in sys.argv[1:])
    table = [history for history in read_table() if _can_be_asked(history)]
    with tempfile.TemporaryDirectory() as folder:
        works = []
        for number, history in enumerate(table):
            place = Path(folder, str(number))
            place.mkdir()
            works.append(build(history, place))
        answers = _ask_python(table, works, Path(folder), bin_folder)
        questions = [_question(history, work) for history, work in zip(table, works, strict=True)]
        node = _asked(["node", Path(__file__).with_name("ask.mjs"), modules], questions)
        for answer, more in zip(answers, node, strict=True):
            answer |= more
    everyone = dict(zip((history.name for history in table), answers, strict=True))
    said = {
        "asked": f"{datetime.now(UTC):%Y-%m-%d}",
        "tools": _versions(bin_folder, modules),
        "answers": {history.name: everyone.get(history.name, {}) for history in read_table()},
    }
    PEERS.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def _asked(command: list[Any], questions: list[dict[str, Any]]) -> list[Any]:
    done = subprocess.run(
        command, input=json.dumps(questions), env=_environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return cast("list[Any]", json.loads(done.stdout))


def _can_be_asked(history: History) -> bool:
    """Only for what commits and branches decide: what a human names is none of these tools' decisions."""
    named = {"again", "prerelease_token"} & {*_version(history)}
    patterns = any("*" in branch for branch in _channels(history))
    if patterns:  # each has its own language for them
        return False
    return history.asked.get("bump") in {"auto", "prerelease"} and not named and "> detach" not in history.steps


def _prerelease(history: History, branch: str) -> str | None:
    """The name of the prereleases that are released from the branch; None: stable versions are."""
    if history.asked.get("bump") == "prerelease" or "prerelease" in _version(history):
        return "rc"
    return _channels(history).get(branch)


def _channels(history: History) -> Mapping[str, str]:
    return cast("Mapping[str, str]", _version(history).get("channels", {}))


def _branch(work: Path) -> str:
    return git(work, "symbolic-ref", "--short", "HEAD")


def _version(history: History) -> Mapping[str, object]:
    return cast("Mapping[str, object]", history.asked.get("version", {}))


def _ask_python(table: list[History], works: list[Path], folder: Path, bin_folder: Path) -> list[dict[str, str]]:
    """The answers of python-semantic-release, commitizen and git-cliff to each history."""
    cz = folder / "cz.toml"
    cz.write_text(_CZ)
    questions = []
    for history, work in zip(table, works, strict=True):
        prerelease = _prerelease(history, _branch(work))
        psr = folder / f"psr-{prerelease}.toml"
        psr.write_text(_PSR.format(prerelease=str(prerelease is not None).lower(), token=prerelease or "rc"))
        if not git(work, "remote"):
            git(work, "remote", "add", "peers", "https://github.com/owner/repository.git")
        version = ["--config", str(psr), "--noop", "version"]
        bump = [
            "--config",
            str(cz),
            "bump",
            "--get-next",
            "--yes",
            *(["--prerelease", prerelease] if prerelease else []),
        ]
        questions += [
            {"name": "semantic-release", "args": [*version, "--print-last-released"], "folder": str(work)},
            {"name": "semantic-release", "args": [*version, "--print"], "folder": str(work)},
            {"name": "cz", "args": bump, "folder": str(work)},
        ]
    said = iter(_asked([bin_folder / "python", Path(__file__).with_name("ask_installed.py")], questions))
    answers = []
    for history, work in zip(table, works, strict=True):
        last, psr_said, cz_said = next(said), next(said), next(said)
        # commitizen's "no commits" (21) and "nothing to bump" (3, 16)
        answer = {
            "python-semantic-release": _next(psr_said[0], psr_said[1], last[1]),
            "commitizen": "nothing" if cz_said[0] in {3, 16, 21} else _next(*cz_said),
        }
        if _prerelease(history, _branch(work)) is None:
            done = subprocess.run(
                [bin_folder / "git-cliff", "--bumped-version"],
                cwd=work,
                env=_environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            answer["git-cliff"] = _next(done.returncode, done.stdout, str(_last(work) or ""))
        if "peers" in git(work, "remote").split():
            git(work, "remote", "remove", "peers")
        answers.append(answer)
    return answers


def _next(status: int, said: str, last: str = "") -> str:
    if status:
        return "refused"
    version = said.strip().removeprefix("v")
    return "nothing" if not version or version == last.strip().removeprefix("v") else version


def _question(history: History, work: Path) -> dict[str, Any]:
    remote = work.parent / "peers-origin.git"
    make_bare(remote, work)
    branch = _branch(work)
    prerelease = _prerelease(history, branch)
    channels = _channels(history) or ({branch: prerelease} if prerelease is not None else {})
    if branch in channels and branch == "main":
        # semantic-release needs a branch that releases stable versions.
        git(remote, "branch", "stable", git(work, "rev-list", "--max-parents=0", "HEAD").split()[0])
    for tag in git(work, "tag").split():
        version = version_of_git_tag(tag, "v")
        if version is not None and version.prerelease is not None:
            series = version.prerelease.partition(".")[0]
            told = {"channels": [next((name for name, channel in channels.items() if channel == series), branch)]}
            git(remote, "notes", "--ref", f"semantic-release-{tag}", "add", "--force", "-m", json.dumps(told), tag)
    last = _last(work)
    span = f"v{last}..HEAD" if last is not None else "HEAD"
    listed = git(work, "log", "-z", "--format=%H%n%B", span).split("\0")
    commits = [dict(zip(("sha", "message"), entry.split("\n", 1), strict=True)) for entry in listed if entry]
    return {
        "folder": str(work),
        "remote": str(remote),
        "branch": branch,
        "prerelease": prerelease,
        "channels": channels,
        "last": str(last) if last is not None else None,
        "commits": [{**commit, "message": commit["message"].strip(), "files": []} for commit in commits],
    }


def _last(work: Path) -> Version | None:
    """The highest version in the history, as `git tag --merged` has it."""
    found = (version_of_git_tag(name, "v") for name in git(work, "tag", "--merged", "HEAD").split())
    return latest(version for version in found if version is not None)


def _versions(bin_folder: Path, modules: Path) -> dict[str, str]:
    site = next(bin_folder.parent.glob("lib/python*/site-packages"))
    found = {}
    for name in _PYTHON:
        information = next(site.glob(f"{re.sub('-', '_', name)}-*.dist-info"))
        found[name] = PathDistribution(information).version
    for name in _NODE:
        found[name] = json.loads((modules / name / "package.json").read_text())["version"]
    return found


def _environment() -> dict[str, str]:
    who = {f"GIT_{role}_{part}": "x@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    nothing = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GH_TOKEN": "none"}
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | who | nothing


if __name__ == "__main__":
    main()

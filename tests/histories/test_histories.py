"""Histories of repositories: what is right to release from each, and what other tools say."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from prefect_slipway.flows.planning.decide import plan_release
from prefect_slipway.flows.planning.source import look_into
from prefect_slipway.flows.reporting.plan_report import plan_as_text
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import open_run
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.values.notes import MAX_CHARACTERS
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.errors import InvalidOption, SourceError, VersionError, VersionTaken
from prefect_slipway.infra.domain.labels import OCI_REVISION
from prefect_slipway.infra.domain.version import image_tag, version_of_git_tag
from tests.git_repository import commit, git, make_long_history, make_repository
from tests.histories.build import PEERS, History, build, read_table
from tests.images import Pusher

TABLE = read_table()


async def _planned(folder: Path, **asked: object) -> ReleasePlan:
    """Nobody is there to build it: nothing but git and the registry is asked."""
    request = ReleaseRequest.read({"builder": {"address": "tcp://127.0.0.1:9"}, **asked})
    env = {"SLIPWAY_HOME": str(folder / "home")}
    async with open_run(request, env) as run, await open_source(run) as checkout:
        plan, _ = await plan_release(run, look_into(run, checkout), claimant=None)
        return plan


@pytest.mark.parametrize("history", TABLE, ids=lambda history: history.name)
async def test_the_right_version_is_planned(registry: str, history: History, tmp_path: Path) -> None:
    """Where each version that git has is an image, too."""
    work = build(history, tmp_path)
    name = re.sub("[^a-z0-9]+", "-", history.name.lower())
    released = [version_of_git_tag(tag, "v") for tag in git(work, "tag").split()]
    if tags := [image_tag(version) for version in released if version is not None]:
        with Pusher(registry, name, None) as pusher:
            await asyncio.to_thread(pusher.image, *tags)
    try:
        plan = await _planned(tmp_path, source=str(work), image=f"{registry}/{name}", **history.asked)
        planned, why = plan.version or "nothing", plan.why
    except (VersionError, SourceError, InvalidOption) as error:
        planned, why = "refused", error.cause
    assert planned == history.right, why


async def test_many_deciding_commits_are_counted(registry: str, tmp_path: Path) -> None:
    """A plan shows some of them, and says how many there are: it is stored and sent, whatever a history holds."""
    work = make_long_history(tmp_path / "work", [f"feat: {'a long subject ' * 100}{number}" for number in range(2_001)])
    git(work, "tag", "v1.0.0", "main~2000")
    with Pusher(registry, "many", None) as pusher:
        await asyncio.to_thread(pusher.image, "1.0.0")
    plan = await _planned(tmp_path, source=str(work), image=f"{registry}/many", bump="auto")
    assert (plan.version, plan.deciding_commit_count, len(plan.deciding_commits)) == ("1.1.0", 2_000, 20)
    assert len(json.dumps(asdict(replace(plan, notes=None)))) < 5_000
    assert plan.notes is not None and len(plan.notes.markdown) <= MAX_CHARACTERS
    assert "  and 1980 more" in plan_as_text(plan).splitlines()


def test_where_most_others_say_otherwise_the_table_says_why() -> None:
    """Each of the tools was asked about every history in which the commits decide."""
    said = json.loads(PEERS.read_text())
    assert list(said["answers"]) == [history.name for history in TABLE]
    for history in TABLE:
        answers = said["answers"][history.name]
        if history.asked == {"bump": "auto"}:
            assert set(answers) == set(said["tools"])
        otherwise = [tool for tool, answer in answers.items() if answer != history.right]
        assert history.because or 2 * len(otherwise) <= len(answers), (history.name, otherwise)


async def test_images_tell_their_line_by_their_revision(registry: str, tmp_path: Path) -> None:
    """Where the registry keeps the versions: those of other commits are elsewhere, those that do not say are not."""
    mono = make_repository(tmp_path / "mono", {"app/Dockerfile": "FROM scratch\n"})
    begin = git(mono, "rev-parse", "HEAD")
    git(mono, "branch", "legacy")
    two = commit(mono, "feat!: two", {"app/two": ""})
    three = commit(mono, "feat!: three", {"app/three": ""})
    git(mono, "switch", "--quiet", "legacy")
    later = commit(mono, "feat: one", {"app/one": ""})
    commit(mono, "fix: one", {"app/one": "1"})
    revisions = {"1.0.0": begin, "2.0.0": two, "3.0.0": three, "1.1.0_a": begin, "1.1.0_b": later, "0.9.0": "x"}
    with Pusher(registry, "mono", None) as pusher:
        for tag, revision in revisions.items():
            pusher.image(tag, labels={OCI_REVISION: revision})
        pusher.image("1.2.0-rc.1", labels={OCI_REVISION: "main"})
    where = {"source": str(mono / "app"), "image": f"{registry}/mono"}
    for asked, expected in (
        ({"bump": "auto"}, "1.1.1"),
        ({"bump": "minor"}, "1.2.0"),
        ({"bump": "prerelease"}, "1.2.0-rc.2"),
    ):
        assert (await _planned(tmp_path, **where, **asked)).version == expected, asked
    with pytest.raises(VersionTaken, match=r"2\.0\.0 was released"):
        await _planned(tmp_path, **where, bump="major")
    with pytest.raises(InvalidOption, match=r"the revision of 1\.2\.0-rc\.1"):
        await _planned(tmp_path, **where, bump="auto", version={"prerelease": True})

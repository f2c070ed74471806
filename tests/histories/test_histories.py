"""Histories of repositories: what is right to release from each, and what other tools say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from flows.cli.plan import as_text
from flows.domain.errors import HistoryIncomplete, VersionTaken
from flows.domain.version import image_tag, version_of_git_tag
from flows.planning import plan_release
from flows.request import ReleaseRequest
from flows.sources import open_source
from flows.workshop import open_workshop
from tests.git_repository import git, make_long_history
from tests.histories.build import PEERS, History, build, read_table
from tests.images import Pusher
from tests.servers import registry_server

TABLE = read_table()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.mark.parametrize("history", TABLE, ids=lambda history: history.name)
async def test_the_right_version_is_planned(registry: str, history: History, tmp_path: Path) -> None:
    """Where each version that git has is an image, too."""
    work = build(history, tmp_path)
    name = re.sub("[^a-z0-9]+", "-", history.name.lower())
    released = [version_of_git_tag(tag, "v") for tag in git(work, "tag").split()]
    if tags := [image_tag(version) for version in released if version is not None]:
        with Pusher(registry, name, None) as pusher:
            await asyncio.to_thread(pusher.image, *tags)
    # Nobody is there to build it: nothing but git and the registry is asked.
    where = {"source": str(work), "image": f"{registry}/{name}", "builder": "tcp://127.0.0.1:9"}
    env = {"SLIPWAY_HOME": str(tmp_path / "home")}
    request = ReleaseRequest.read(where | history.asked)
    async with open_workshop(request, env) as shop, await open_source(shop) as source:
        try:
            plan = await plan_release(shop, source, run="plan", reserve=False)
        except (VersionTaken, HistoryIncomplete) as error:
            planned, why = "refused", error.cause
        else:
            planned, why = plan.version or "nothing", plan.why
    assert planned == history.right, why


async def test_many_deciding_commits_are_counted(registry: str, tmp_path: Path) -> None:
    """A plan shows some of them, and says how many there are: it is stored and sent, whatever a history holds."""
    work = make_long_history(tmp_path / "work", [f"feat: {'a long subject ' * 100}{number}" for number in range(2_001)])
    git(work, "tag", "v1.0.0", "main~2000")
    with Pusher(registry, "many", None) as pusher:
        await asyncio.to_thread(pusher.image, "1.0.0")
    where = {"source": str(work), "image": f"{registry}/many", "builder": "tcp://127.0.0.1:9", "bump": "auto"}
    env = {"SLIPWAY_HOME": str(tmp_path / "home")}
    async with open_workshop(ReleaseRequest.read(where), env) as shop, await open_source(shop) as source:
        plan = await plan_release(shop, source, run="plan", reserve=False)
    assert (plan.version, plan.deciding_commit_count, len(plan.deciding_commits)) == ("1.1.0", 2_000, 20)
    assert len(json.dumps(asdict(plan))) < 5_000
    assert "  and 1980 more" in as_text(plan).splitlines()


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

"""Histories of repositories: what is right to release from each, and what other tools say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.domain.errors import HistoryIncomplete, VersionTaken
from flows.domain.version import image_tag, version_of_git_tag
from flows.planning import plan_release
from flows.request import ReleaseRequest
from flows.sources import open_source
from flows.workshop import open_workshop
from tests.git_repository import git
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
    request = ReleaseRequest.read(
        {"source": str(work), "image": f"{registry}/{name}", "builder": "tcp://127.0.0.1:9", **history.asked}
    )
    # Nothing but git and the registry is asked.
    async with (
        open_workshop(request, {"SLIPWAY_HOME": str(tmp_path / "home")}) as shop,
        await open_source(shop) as source,
    ):
        try:
            plan = await plan_release(shop, source, run="plan", reserve=False)
        except (VersionTaken, HistoryIncomplete) as error:
            planned, why = "refused", error.cause
        else:
            planned, why = plan.version or "nothing", plan.why
    assert planned == history.right, why


def test_where_others_say_otherwise_the_table_says_why() -> None:
    """Each of them was asked about every history in which the commits decide."""
    said = json.loads(PEERS.read_text())
    assert set(said["answers"]) == {history.name for history in TABLE}
    for history in TABLE:
        answers = said["answers"][history.name]
        if history.asked == {"bump": "auto"}:
            assert set(answers) == set(said["tools"])
        assert history.because or set(answers.values()) <= {history.right}, history.name

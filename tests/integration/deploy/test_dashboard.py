"""The dashboards after real releases' images were deployed, failed and were rolled back, by command and as a flow."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.dashboard import dashboard
from prefect_slipway.flows.reporting.delivery import team_of
from prefect_slipway.flows.request.dashboard import DashboardRequest
from prefect_slipway.infra.domain.errors import RolloutError
from tests.kubernetes.deploy_place import DeployPlace
from tests.releases import make_source, result_of
from tests.waiting import calm_looks
from tests.warm import WarmStarter


async def shown(commands: WarmStarter, team: str) -> dict[str, Any]:
    done = await asyncio.to_thread(commands.run, "dashboard", "--format", "json")
    assert (done.code, done.stderr) == (0, "")
    return next((page for page in json.loads(done.stdout) if page["team"] == team), {})


async def content(place: DeployPlace, page: dict[str, Any]) -> str:
    artifact = page["url"].rpartition("/")[2]
    return str((await asyncio.to_thread(place.server.ask, "GET", f"/artifacts/{artifact}"))["data"])


async def test_a_teams_page_follows_its_deploys(place: DeployPlace, commands: WarmStarter) -> None:
    """A deploy, one that fails and goes back, and a rollback by a person: counted once, with what runs now; a second
    update keeps the page's address, and the flow writes the same page."""
    await place.make()
    await place.deploy("good")
    await place.deploy("better")
    with pytest.raises(RolloutError):
        await place.deploy("crashing")
    await place.rollback()
    team = team_of(place.images["good"]) or ""
    async for _ in calm_looks():
        page = await shown(commands, team)  # the server files events some seconds late
        if page.get("rolled_back") == 1 and page["restored"] == 2:
            break
    assert (page["rolled_back"], page["restored"]) == (1, 2), page
    assert (page["deploys"], page["failed_deploys"], page["failure_rate"]) == (2, 1, pytest.approx(2 / 3))
    assert 0 <= page["restore_s"] < 600
    text = await content(place, page)
    assert text.startswith(f"# Releases and deploys of {team}")
    assert "/deployment/app | " in text and " | 1.0.0 | " in text
    with place.prefect():
        assert team in await dashboard(DashboardRequest(days=7))
    again = await shown(commands, team)
    assert (again["url"], again["deploys"]) == (page["url"], 2)


async def test_a_release_is_on_its_page(place: DeployPlace, commands: WarmStarter, tmp_path: Path) -> None:
    """With its version and how long it took, also when the server has no events any more."""
    source = make_source(tmp_path / "boarded")
    result = result_of(await asyncio.to_thread(commands.run, "release", source, "--format", "json"))
    team = team_of(result["image"]) or ""
    page = await shown(commands, team)
    assert page["releases"] >= 1 and page["release_s"] > 0
    text = await content(place, page)
    assert "| [boarded](<" in text and "| 0.1.0 |" in text

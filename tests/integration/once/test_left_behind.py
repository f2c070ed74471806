"""A release that could not end its reservation says so; it is public all the same."""

from __future__ import annotations

import json

from tests.git_repository import git
from tests.integration.once.conftest import Place
from tests.warm import WarmStarter


def test_a_reservation_that_stays_is_no_silent_success(commands: WarmStarter, remote: Place) -> None:
    """The git server lets nobody delete a ref: told by terminal, exit code, JSON, report and the run's state."""
    assert remote.git is not None
    git(remote.git, "config", "receive.denyDeletes", "true")
    ended = commands.run("release", remote.source, "--output", "json")
    assert ended.code == 3, ended.stderr
    result = json.loads(ended.stdout)
    assert result["released"] and remote.tags() == ["0.1.0"]
    (left,) = result["left_behind"]
    assert left["cause"].startswith("the reservation of 0.1.0 could not be ended: ")
    assert f"left behind: {left['cause']}" in ended.stderr
    state = remote.traces.state(f"{remote.name} 0.1.0")
    assert (state["type"], state["name"]) == ("COMPLETED", "NotCleanedUp")
    assert "the reservation of 0.1.0 could not be ended" in state["message"]
    assert "## Left behind" in remote.traces.reports(f"{remote.name} 0.1.0")[0]

"""A release that could not end its reservation says so; it is public all the same."""

from __future__ import annotations

import json

from tests.integration.once.conftest import Place
from tests.warm import WarmStarter


def test_a_reservation_that_stays_is_no_silent_success(commands: WarmStarter, remote: Place) -> None:
    """The git server lets nobody delete the reservation: told by terminal, exit code, JSON, report and state."""
    assert remote.git is not None
    # git's own receive.denyDeletes is about branches alone.
    hook = remote.git / "hooks" / "update"
    hook.write_text('#!/bin/sh\nexpr "$3" : "00*$" >/dev/null && exit 1 || exit 0\n')
    hook.chmod(0o755)
    ended = commands.run("release", remote.source, "--format", "json")
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

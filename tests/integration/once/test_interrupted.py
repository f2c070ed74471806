"""Ctrl-C, SIGTERM, a closed terminal at each step: the release cleans up, or, once it is public, is finished."""

from __future__ import annotations

import os
import pty
import re
import signal
from contextlib import suppress

import psutil
import pytest

from tests.conftest import SLIPWAY, RunningStack
from tests.integration.once.conftest import BUILDING, Place
from tests.releases import Traces, complaint, result_of
from tests.waiting import long_sleep
from tests.warm import WarmStarter

BEFORE = ["> provision builder", "> plan version", BUILDING, "> verify"]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
LATE = [
    ("> tag", signal.SIGINT),
    ("> tag", signal.SIGTERM),
    ("> record", signal.SIGTERM),
    ("> clean up", signal.SIGINT),
]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_interrupted_release_leaves_nothing_and_burns_no_version(
    commands: WarmStarter, traces: Traces, remote: Place, number: signal.Signals
) -> None:
    """At each step up to the tag: exit code 130, said so, nothing anywhere; then the same command releases 0.1.0."""
    for moment in BEFORE:
        release = commands.start("release", remote.source, "--format", "json")
        release.until(moment)
        release.signal(number)
        ended = release.end()
        if moment == "> verify" and ended.code == 0:
            # It was quicker than the signal: public, and whole.
            remote.assert_released("0.1.0")
            return
        said = complaint(ended, code=130)
        assert said.startswith("the release was interrupted\nNext: nothing was left behind"), moment
        remote.assert_released()
        state = traces.state(remote.name)
        assert state["type"] == "CANCELLED", moment
        assert re.fullmatch(r"interrupted by \S+ on \S+ \((Ctrl-C|SIGTERM|closed terminal)\)", state["message"]), moment
    result = result_of(commands.run("release", remote.source, "--format", "json"))
    assert result["version"] == "0.1.0"
    remote.assert_released("0.1.0")


@pytest.mark.parametrize("moment", BEFORE[:3])
def test_ctrl_c_again_and_again_still_leaves_nothing(
    commands: WarmStarter, traces: Traces, both: Place, moment: str
) -> None:
    """Twice at once, and while it cleans up: nothing is left, and the run is Cancelled, not Running for ever."""
    release = commands.start("release", both.source, "--format", "json")
    release.until(moment)
    release.signal(signal.SIGINT)
    release.signal(signal.SIGINT)
    release.until("interrupted (Ctrl-C): cleaning up")
    for _ in range(3):
        with suppress(ProcessLookupError):
            release.signal(signal.SIGINT)
    said = complaint(release.end(), code=130)
    assert said.startswith("the release was interrupted\nNext: nothing was left behind")
    assert re.search("^Run: http.*/flow-run/", said, re.MULTILINE)
    both.assert_released()
    assert traces.state(both.name)["type"] == "CANCELLED"
    assert result_of(commands.run("release", both.source, "--format", "json"))["version"] == "0.1.0"


def test_a_terminal_that_is_closed_ends_the_release_cleanly(stack: RunningStack, traces: Traces, remote: Place) -> None:
    """As when an ssh connection is lost: there is nobody to write to any more, and all is cleaned up."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(SLIPWAY, [str(SLIPWAY), "release", str(remote.source)], dict(stack.env))
    said = b""
    while BUILDING.encode() not in said:
        said += os.read(terminal, 65536)
    os.close(terminal)
    os.waitpid(pid, 0)
    remote.assert_released()
    state = traces.state(remote.name)
    assert (state["type"], "(closed terminal)" in state["message"]) == ("CANCELLED", True)


def test_an_interruption_that_comes_too_late_changes_nothing(commands: WarmStarter, remote: Place) -> None:
    """From the tag on the release becomes public, so it is finished and says so: exit code 0, its result."""
    released: list[str] = []
    for moment, number in LATE:
        release = commands.start("release", remote.source, "--again", "--format", "json")
        release.until(moment)
        release.signal(number)
        result = result_of(release.end())
        released.append(result["version"])
        assert remote.digest(result["version"]) == result["digest"]
        remote.assert_released(*released)
    assert released == ["0.1.0", "0.2.0", "0.3.0", "0.4.0"]


def test_the_builds_processes_are_gone(commands: WarmStarter, directory: Place) -> None:
    """An interrupted step's process does not run on in the builder."""
    seconds = str(long_sleep())
    directory.source.joinpath("Dockerfile").write_text(
        directory.source.joinpath("Dockerfile").read_text().replace("sleep 1", f"sleep {seconds}")
    )
    release = commands.start("release", directory.source)
    release.until(BUILDING)
    sleeping = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", seconds]]
    assert len(sleeping) == 1
    release.signal(signal.SIGINT)
    complaint(release.end(), code=130)
    assert not sleeping[0].is_running()

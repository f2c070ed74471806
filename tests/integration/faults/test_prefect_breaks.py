"""A Prefect server that breaks in the middle of a release, as one does whose disk is full."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import RunningStack
from tests.faults import Front, front
from tests.releases import BASE, Traces, complaint, make_source, result_of, run_line
from tests.warm import WarmStarter, warm_starter

BUILDING = "42 now"


@dataclass(frozen=True)
class Breaking:
    """`prefect`: before the stack's server. `commands`: to that."""

    prefect: Front
    commands: WarmStarter


@pytest.fixture
def breaking(stack: RunningStack) -> Iterator[Breaking]:
    with front(urlsplit(stack.connection.prefect_api_url).netloc) as before:
        env = {
            **stack.env,
            "PREFECT_API_URL": f"http://{before.host}/api",
            "PREFECT_UI_URL": stack.connection.prefect_ui_url,
            "PREFECT_HOME": str(stack.connection.home / "prefect-client"),
        }
        with warm_starter(env) as commands:
            yield Breaking(before, commands)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    line = run_line(f"echo $((6*7)) now {uuid.uuid4().hex}; exec sleep 1")
    return make_source(tmp_path / f"app-{uuid.uuid4().hex[:8]}", BASE + line)


def break_it(prefect: Front) -> None:
    """Whatever is written fails; what is read is still there."""
    for method in ("POST", "PATCH"):
        prefect.spoil(method, "/api/(flow_runs|artifacts|logs|events)", 500)


def test_before_the_image_is_public_the_release_fails(breaking: Breaking, traces: Traces, source: Path) -> None:
    """The cause in a few lines, nothing left behind, no version burnt."""
    release = breaking.commands.start("release", source, "--format", "json")
    release.until("> plan version")
    break_it(breaking.prefect)
    ended = release.end()
    said = complaint(ended)
    assert "answered 500" in said
    assert "Error logging to API" not in ended.stderr
    assert "Next: look at the server's log (a full disk" in said
    assert len(said.splitlines()) <= 4, said
    assert traces.tags(source.name) == []
    traces.assert_nothing_left()


def test_once_it_is_public_the_release_is_a_success(breaking: Breaking, traces: Traces, source: Path) -> None:
    """Running it again would release another version: so it says what it released, and that the record has a gap."""
    release = breaking.commands.start("release", source, "--format", "json")
    release.until(BUILDING)
    break_it(breaking.prefect)
    ended = release.end()
    result = result_of(ended)
    assert result["version"] == "0.1.0"
    assert traces.tags(source.name) == ["0.1.0"]
    assert "warning: the image is public, but its record is incomplete: the Prefect server" in ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    assert "Error logging to API" not in ended.stderr
    traces.assert_nothing_left()


def test_what_was_done_is_not_refused_because_its_answer_was_lost(
    breaking: Breaking, traces: Traces, source: Path
) -> None:
    """The client sends such a request again: the pause, the question and the approval count once."""
    release = breaking.commands.start("release", source, "--approval", "--format", "json")
    release.until("> plan version")
    for path in ("set_state", "input", "resume"):
        breaking.prefect.lose("POST", f"^/api/flow_runs/[^/]+/{path}$", times=1)
    release.until("waiting until")
    run = traces.runs(source.name)[0]["id"]
    approved = breaking.commands.run("approve", run)
    assert approved.code == 0, approved.stderr
    assert result_of(release.end())["version"] == "0.1.0"
    assert [request.path for request in breaking.prefect.seen if request.path.endswith("/resume")] == [
        f"/api/flow_runs/{run}/resume"
    ] * 2

"""Progress as lines: what each form prints, for each kind of news."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from prefect_slipway.flows.cli.display.choice import display_for, progress_of
from prefect_slipway.flows.cli.display.lines import Display
from prefect_slipway.flows.reporting.watch import StepNews, shown_step
from prefect_slipway.infra.buildkit.build.events import LogChunk, Progress, Step, Warned
from prefect_slipway.infra.domain.errors import InvalidOption, RegistryUnavailable

_DOCUMENTED = (
    (Path(__file__).parents[3] / "docs" / "reference" / "json.md").read_text().split("## Progress")[1].split("\n## ")[0]
)


def _everything(display: Display) -> None:
    display.run("id", "http://ui/run")
    with shown_step("plan version", display.step):
        pass
    with pytest.raises(RegistryUnavailable), shown_step("push", display.step):
        raise RegistryUnavailable("registry.example answered with HTTP 503")
    display.step(StepNews("push", "retrying", reason="registry.example answered with HTTP 503", wait_s=0.5))
    for event in (
        Step("a", "[1/1] RUN x", started=1.0),
        LogChunk("a", 1, b"hello \xff\n", 1.0),
        Progress("a", "layer", "pushing", 1, 2),
        Warned("a", "FromAsCasing"),
    ):
        display.build("api", event)
    display.log("#1 [1/1] RUN x")
    display.say("WARN: odd")
    display.close()


def test_plain_lines() -> None:
    """The run, each step, why one is tried again and when, the build's log, messages."""
    stream = io.StringIO()
    _everything(display_for("plain", stream))
    assert stream.getvalue().splitlines() == [
        "run http://ui/run",
        "> plan version",
        "> push",
        "> push: registry.example answered with HTTP 503; trying again in 0.5 s",
        "#1 [1/1] RUN x",
        "WARN: odd",
    ]


def test_events_as_json_are_those_that_are_documented() -> None:
    """An object a line, with the fields that docs/json.md has, all of them."""
    stream = io.StringIO()
    _everything(display_for("json", stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "run",
        *["step"] * 5,
        "build_step",
        "build_log",
        "build_progress",
        "build_warning",
        "message",
    ]
    assert [event["state"] for event in events if event["event"] == "step"] == [
        "running",
        "completed",
        "running",
        "failed",
        "retrying",
    ]
    for event in events:
        section = _DOCUMENTED.split(f"### {event['event']}\n")[1].split("\n### ")[0]
        documented = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}
        assert set(event) - {"event", "time"} == documented
    assert events[7]["data"] == "hello \ufffd\n"


def test_quiet_prints_nothing() -> None:
    """The result and an error are not progress."""
    stream = io.StringIO()
    _everything(display_for("quiet", stream))
    assert stream.getvalue() == ""


def test_auto_is_plain_where_no_terminal_is() -> None:
    """A file, a pipe, a CI's log."""
    stream = io.StringIO()
    display_for("auto", stream).say("x")
    assert stream.getvalue() == "x\n"


@pytest.mark.parametrize(
    ("quiet", "progress", "form"),
    [(False, "auto", "auto"), (True, "auto", "quiet"), (True, "quiet", "quiet"), (False, "json", "json")],
)
def test_quiet_chooses_the_form(quiet: bool, progress: str, form: str) -> None:
    """-q is --progress quiet, and more."""
    assert progress_of(argparse.Namespace(quiet=quiet, progress=progress)) == form


def test_quiet_contradicts_the_other_forms() -> None:
    """Nobody knows which was meant."""
    with pytest.raises(InvalidOption, match="--progress json and --quiet"):
        progress_of(argparse.Namespace(quiet=True, progress="json"))


def test_a_reader_that_went_away_ends_nothing() -> None:
    """`slipway release 2>&1 | head`: the run continues."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    _everything(display_for("plain", Gone()))
    _everything(display_for("json", Gone()))

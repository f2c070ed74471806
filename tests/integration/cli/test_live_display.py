"""What people see of commands that take long: a live display in a real terminal, and a readable record after it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import SLIPWAY, Run, RunningStack, run_program
from tests.terminal import in_terminal

NAME = "a step with a name that is longer than a narrow terminal is wide, so that it has to be cut somewhere"
ENDED = re.compile(r"^[✓✗-] +([\d.]+s|CACHED) ")


@pytest.fixture
def env(stack: RunningStack) -> Mapping[str, str]:
    """The stack's, without wishes about colours."""
    wishes = ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLUMNS", "LINES")
    return {name: value for name, value in stack.env.items() if name not in wishes}


def _source(folder: Path, *lines: str) -> Path:
    """Its last step says six times something, for three seconds."""
    folder.mkdir()
    run = 'RUN ["/busybox", "sh", "-c", "for n in 1 2 3 4 5 6; do /busybox echo output $n; /busybox sleep 0.5; done"]'
    (folder / "Dockerfile").write_text("\n".join(["FROM scratch", "COPY busybox /busybox", *lines, run]) + "\n")
    shutil.copy("/bin/busybox", folder / "busybox")
    return folder


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_release_in_a_terminal(env: Mapping[str, str], tmp_path: Path, columns: int) -> None:
    """While it builds: the step, the build's step and its output. Afterwards each step once, with its seconds, nothing
    of the live region, and the result with its timeline; none of these lines is wider than the terminal."""
    source = _source(tmp_path / f"app{columns}", f'RUN ["/busybox", "echo", "{NAME}"]')
    with in_terminal(SLIPWAY, "release", source, "--no-cache", env=env, columns=columns) as terminal:
        screen = terminal.until("| output 2")
        assert re.search(r"^\S +[\d.]+s  build and push$", screen, re.MULTILINE), screen
        assert re.search(r"^\S +[\d.]+s    \[\d/3\] RUN ", screen, re.MULTILINE), screen
        code, record = terminal.ended()
    assert code == 0, record
    text = "\n".join(record)
    assert re.search(r"^run http://\S+", text, re.MULTILINE)
    for step in ("fetch source", "provision builder", "plan version", "build and push", "verify", "tag", "clean up"):
        assert len(re.findall(rf"^✓ +[\d.]+s  {step}$", text, re.MULTILINE)) == 1, text
    assert len(re.findall(r"^✓ +[\d.]+s    \[\d/3\] RUN \[\"/busybox\", \"echo\"", text, re.MULTILINE)) == 1, text
    cut = [line for line in record if line.endswith("…") and ENDED.match(line)]
    assert cut or columns == 120
    drawn = [line for line in record if ENDED.match(line) or re.search(r"\|[ █░]+\| ", line)]
    assert max(map(len, drawn)) <= columns
    assert "| output" not in text
    result = next(number for number, line in enumerate(record) if line.endswith("0.1.0 released"))
    assert ENDED.match(record[result - 1]), "the result follows the last step without a gap"


def test_a_build_has_the_same_display(env: Mapping[str, str], tmp_path: Path) -> None:
    """`slipway build` without Prefect."""
    source = _source(tmp_path / "alone")
    with in_terminal(SLIPWAY, "build", source, "--no-cache", env=env) as terminal:
        terminal.until("| output 1")
        code, record = terminal.ended()
    assert code == 0, record
    assert ENDED.match(record[-1])
    assert record[-1].endswith("  build")


def test_a_terminal_that_is_resized(env: Mapping[str, str], tmp_path: Path) -> None:
    """Narrower and wider while it builds: nothing of the region stays in the record, and no step is lost or twice.

    Below a full screen, as in a terminal that has been used: when tmux wraps lines, the topmost ones leave the screen
    for the scrollback, also where the rows below the cursor are empty."""
    source = _source(tmp_path / "resized", f'RUN ["/busybox", "echo", "{NAME}"]')
    used = ("sh", "-c", 'seq 24; exec "$@"', "sh")
    with in_terminal(*used, SLIPWAY, "build", source, "--no-cache", env=env, columns=120) as terminal:
        terminal.until("| output 1")
        terminal.resize(50)
        terminal.until("| output 3")
        terminal.resize(100)
        terminal.until("| output 5")
        code, record = terminal.ended()
    assert code == 0, record
    record = record[24:]
    assert all(ENDED.match(line) for line in record if line and not line.startswith(" ")), "\n".join(record)
    text = "\n".join(record)
    assert "| output" not in text
    for step in (r"\[1/3\] COPY", r"\[2/3\] RUN", r"\[3/3\] RUN"):
        assert len(re.findall(rf"    {step}", text)) == 1, text


@pytest.mark.parametrize(
    ("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"CLICOLOR": "0"}, False)], ids=str
)
def test_colours(env: Mapping[str, str], tmp_path: Path, more: dict[str, str], coloured: bool) -> None:
    """The marks are coloured where colours are wanted; without them the display is the same."""
    source = _source(tmp_path / "colours")
    with in_terminal(SLIPWAY, "build", source, "--no-cache", env={**env, **more}) as terminal:
        terminal.until("✓")
        screen = terminal.screen(colours=True)
        code, record = terminal.ended()
    assert code == 0, record
    assert ("\x1b[32m✓" in screen) is coloured, repr(screen)


def test_a_dumb_terminal_gets_lines(env: Mapping[str, str], tmp_path: Path) -> None:
    """The cursor cannot be moved there."""
    with in_terminal(SLIPWAY, "build", _source(tmp_path / "dumb"), env=env, term="dumb") as terminal:
        code, record = terminal.ended()
    assert code == 0, record
    assert any(re.match(r"#\d+ \[2/2\] RUN", line) for line in record)
    assert not any("✓" in line for line in record)


def test_what_failed_stays_in_the_record(env: Mapping[str, str], tmp_path: Path) -> None:
    """The step that failed, the cause with the step's last lines, what to do next, and the run's page."""
    source = _source(tmp_path / "broken", 'RUN ["/busybox", "sh", "-c", "/busybox echo it broke; exit 3"]')
    with in_terminal(SLIPWAY, "release", source, env=env) as terminal:
        code, record = terminal.ended()
    assert code == 1, record
    text = "\n".join(record)
    assert re.search(r"^✗ +[\d.]+s    \[2/3\] RUN", text, re.MULTILINE), text
    assert re.search(r"^✗ +[\d.]+s  build and push$", text, re.MULTILINE), text
    assert "it broke" in text.partition("slipway: ")[2]
    assert "Next: " in text
    assert re.search(r"^Run: http://", text, re.MULTILINE), text


def test_ctrl_c_in_a_terminal(env: Mapping[str, str], tmp_path: Path) -> None:
    """The clean-up is shown as well, and the prompt comes back below it."""
    with in_terminal(SLIPWAY, "release", _source(tmp_path / "stopped"), "--no-cache", env=env) as terminal:
        terminal.until("| output 1")
        terminal.press("C-c")
        code, record = terminal.ended()
    assert code == 130, record
    text = "\n".join(record)
    assert "interrupted (Ctrl-C): cleaning up" in text
    assert re.search(r"^- +[\d.]+s  build and push$", text, re.MULTILINE), text
    assert re.search(r"^✓ +[\d.]+s  clean up$", text, re.MULTILINE), text


def test_events_of_a_release_and_of_its_failure(slipway: Run, tmp_path: Path) -> None:
    """--progress json: nothing but events on standard error, and the failure is one of them; the result is the same."""
    done = slipway("release", _source(tmp_path / "events"), "--no-cache", "--progress", "json", "--format", "json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    result = json.loads(done.stdout)
    assert events[0]["event"] == "run"
    assert (events[0]["flow_run_id"], events[0]["ui_url"]) == (result["flow_run_id"], result["ui_url"])
    assert {"run", "step", "build_step", "build_log"} <= {event["event"] for event in events}
    failed = slipway("release", tmp_path / "nothing", "--progress", "json", "--format", "json")
    last = json.loads(failed.stderr.splitlines()[-1])
    assert last["event"] == "error"
    assert last["error"] == json.loads(failed.stdout)["error"]


def test_quiet_leaves_the_result_and_the_error(slipway: Run, stack: RunningStack, tmp_path: Path) -> None:
    """--progress quiet for the report as usual, -q for the reference alone."""
    source = _source(tmp_path / "quiet")
    done = slipway("release", source, "--progress", "quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.1.0 released" in done.stdout
    # A profile of the user's own, which the embedded server's settings do not have.
    short = run_program(SLIPWAY, "release", source, "-q", env={**stack.env, "PREFECT_PROFILE": "mine"})
    assert (short.returncode, short.stderr, len(short.stdout.splitlines())) == (0, "", 1)
    failed = slipway("release", tmp_path / "nothing", "--progress", "quiet")
    assert failed.stdout == ""
    assert failed.stderr.startswith("slipway: ")


def test_a_plan_tells_its_steps(slipway: Run, tmp_path: Path) -> None:
    """Lines where no terminal is; the plan alone on standard output."""
    done = slipway("plan", _source(tmp_path / "planned"), "--format", "json")
    assert json.loads(done.stdout)["version"] == "0.1.0"
    assert done.stderr.splitlines() == ["> fetch source", "> plan version", "> check builder"]

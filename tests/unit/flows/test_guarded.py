"""What a command prints: harmless to a terminal, in colours where there is one."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator

import pytest

from prefect_slipway.flows.cli import main
from prefect_slipway.flows.cli.commands import COMMANDS, Command
from prefect_slipway.flows.cli.display.live import Live
from prefect_slipway.flows.cli.guarded_output import Guarded, guarded
from prefect_slipway.infra.buildkit.build.events import LogChunk, Step
from prefect_slipway.infra.domain.errors import SourceError

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x1b[2J \u202eend"


class Terminal(io.TextIOWrapper):
    """One end of a terminal; `shown()` is what has come out at the other."""

    def __init__(self) -> None:
        self.other, mine = os.openpty()
        super().__init__(os.fdopen(mine, "wb"), encoding="utf-8", write_through=True)

    def shown(self) -> str:
        self.write("§")
        self.flush()
        came = b""
        while not came.endswith("§".encode()):
            came += os.read(self.other, 65536)
        return came.decode().removesuffix("§")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal() as opened:
        yield opened
    os.close(opened.other)


def test_a_terminal_gets_colours_and_nothing_else(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """No title, no cleared screen, no other direction; the colour ends with its line."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print(HOSTILE, file=Guarded(terminal))
    assert terminal.shown() == "\x1b[31mred\x1b[0m end\x1b[0m\r\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")])
def test_colours_are_left_out_where_nobody_wants_them(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """no-color.org, and terminals that have none."""
    monkeypatch.setenv(name, value)
    print(HOSTILE, file=Guarded(terminal))
    assert terminal.shown() == "red end\r\n"


def test_colours_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pager or a CI's log shows them, though it is no terminal; NO_COLOR is stronger."""
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    forced, refused = io.StringIO(), io.StringIO()
    print(HOSTILE, file=Guarded(forced))
    monkeypatch.setenv("NO_COLOR", "1")
    print(HOSTILE, file=Guarded(refused))
    assert (forced.getvalue(), refused.getvalue()) == ("\x1b[31mred\x1b[0m end\x1b[0m\n", "red end\n")


def test_a_file_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at it later has a terminal as well."""
    file = io.StringIO()
    print(HOSTILE, "caf\udce9", file=Guarded(file))
    assert file.getvalue() == "red end caf\ufffd\n"


def test_every_command_prints_through_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Output and errors of all commands, and what Python prints for them; afterwards all is as it was."""
    before = sys.stdout, sys.stderr

    def run(args: object) -> int:
        print(HOSTILE)
        print(HOSTILE, file=sys.stderr)
        raise SourceError(HOSTILE, details=HOSTILE)

    module = type(sys)("odd")
    vars(module).update(run=run, add_options=lambda parser: None)
    monkeypatch.setitem(sys.modules, "prefect_slipway.flows.cli.odd", module)
    monkeypatch.setitem(COMMANDS, "odd", Command("odd"))
    assert main(["odd"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "red end\n"
    assert printed.err == "red end\nslipway: red end\nred end\n"
    assert (sys.stdout, sys.stderr) == before


def test_bytes_are_passed_on(tmp_path: object) -> None:
    """An archive on standard output, another machine's terminal."""
    raw = io.BytesIO()
    with guarded():
        stream = io.TextIOWrapper(raw)
        Guarded(stream).buffer.write(b"\x1b]0;\xff")
    assert raw.getvalue() == b"\x1b]0;\xff"


def test_the_live_display_moves_the_cursor_itself_and_lets_nobody_else(terminal: Terminal) -> None:
    """The steps' names and lines are plain, whatever a build puts into them."""
    display = Live(terminal)
    display.build("", Step("a", f"[1/1] RUN {HOSTILE}", started=1.0))
    display.build("", LogChunk("a", 1, f"{HOSTILE}\n".encode(), 1.0))
    display.build("", Step("a", f"[1/1] RUN {HOSTILE}", started=1.0, completed=3.0))
    display.say(HOSTILE)
    display.close()
    shown = terminal.shown()
    assert "\x1b[2K" in shown
    rest = re.sub(r"\x1b\[(2K|1A|[0-9;]*m|\?25[hl])", "", shown)
    assert "\x1b" not in rest
    assert "RUN red end" in rest
    assert "owned" not in rest

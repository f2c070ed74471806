"""A real terminal: tmux, whose screen and scrollback can be read while a command runs in it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_until

_END = "exit code"


class Terminal:
    """`screen`: what is seen now. `record`: with the scrollback, without trailing blanks, and in whole lines where the
    terminal has wrapped them."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def screen(self, *, colours: bool = False) -> str:
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def record(self, *, colours: bool = False) -> list[str]:
        lines = self._tmux("capture-pane", "-p", "-J", "-S", "-", *(["-e"] if colours else [])).splitlines()
        return [line.rstrip() for line in lines]

    def resize(self, columns: int) -> None:
        """Draw nothing meanwhile: what is written before the terminal has told its new size comes out wrong, whoever
        writes it."""
        tty, shell = self._tmux("display-message", "-p", "#{pane_tty} #{pane_pid}").split()
        running = [int(pid) for pid in Path(f"/proc/{shell}/task/{shell}/children").read_text().split()]
        for pid in running:
            os.kill(pid, signal.SIGSTOP)
        try:
            self._tmux("resize-window", "-x", str(columns))
            wait_until(lambda: _columns(tty) == columns)
        finally:
            for pid in running:
                os.kill(pid, signal.SIGCONT)

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def until(self, text: str) -> str:
        """Wait for `text` on the screen; gives the screen."""
        wait_until(lambda: text in self.screen())
        return self.screen()

    def ended(self, *, colours: bool = False) -> tuple[int, list[str]]:
        """The command's exit code, and the record that it has left."""
        wait_until(lambda: any(line.startswith(_END) for line in self.record()))
        record = self.record()
        at = next(number for number, line in enumerate(record) if line.startswith(_END))
        return int(record[at].removeprefix(_END)), self.record(colours=colours)[:at]

    def _tmux(self, *command: str) -> str:
        return tmux(self._socket, *command)


def _columns(tty: str) -> int:
    opened = os.open(tty, os.O_RDONLY | os.O_NOCTTY)
    try:
        return os.get_terminal_size(opened).columns
    finally:
        os.close(opened)


def tmux(socket: Path, *command: str, env: Mapping[str, str] | None = None) -> str:
    return subprocess.run(
        ["tmux", "-u", "-S", socket, "-f", "/dev/null", *command], env=env, check=True, capture_output=True, text=True
    ).stdout


@contextmanager
def in_terminal(
    *command: str | Path, env: Mapping[str, str], columns: int = 80, term: str = "tmux-256color"
) -> Iterator[Terminal]:
    """The command in a terminal of so many columns and 24 lines, with exactly this environment and TERM."""
    with tempfile.TemporaryDirectory(prefix="tm", dir="/tmp") as folder:
        socket = Path(folder) / "s"
        typed = f"TERM={term} {shlex.join(map(str, command))}; echo '{_END}' $?; exec sleep infinity"
        tmux(socket, "new-session", "-d", "-x", str(columns), "-y", "24", typed, env={**env, "TERM": "xterm-256color"})
        try:
            yield Terminal(socket)
        finally:
            tmux(socket, "kill-server")

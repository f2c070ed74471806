"""A release as its terminal shows it: steps and log lines while it runs, the report at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from flows.domain.plan import LeftBehind
from flows.watched.watch import Outcome, Report


class Terminal:
    """Writes news to `stream` (stderr, so that stdout holds the result alone)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.report: str | None = None
        self.result: Outcome | None = None
        self.left_behind: Sequence[LeftBehind] = ()
        self.became: str | None = None

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def show(self, report: Report) -> None:
        self.report, self.result = report.as_text(), report.result

    def left(self, what: Sequence[LeftBehind]) -> None:
        self.left_behind = what
        self.say("\n".join(f"left behind: {line}" for each in what for line in each.lines()))

    def outcome(self, text: str) -> None:
        self.became = text
        self.say(text)

"""A release on the terminal: steps and log lines while it runs, the report at the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from prefect_slipway.flows.reporting.watch import Report
from prefect_slipway.flows.values.result import LeftBehind, ReleaseResult


class Terminal:
    """Writes news to `stream` (stderr, so that stdout holds the result alone), nowhere if it is None.

    `run`, `page`: the run's id, and its address in the UI. `left_behind`: what could not be cleaned up.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.run: str | None = None
        self.page: str | None = None
        self.report: str | None = None
        self.result: ReleaseResult | None = None
        self.left_behind: Sequence[LeftBehind] = ()
        self.became: str | None = None

    @property
    def is_public(self) -> bool:
        """Whether an image was released."""
        return self.result is not None and self.result.released

    def runs(self, run: str | None, page: str | None) -> None:
        # A run within the run is found from its page.
        self.run, self.page = self.run or run, self.page or page

    def say(self, text: str) -> None:
        if self._stream is None:
            return
        # A terminal that was closed, a reader that went away: nobody listens, and the run continues (or cleans up).
        with suppress(OSError):
            print(text, file=self._stream, flush=True)

    def show(self, report: Report) -> None:
        self.report, self.result = report.as_text(), report.result

    def left(self, what: Sequence[LeftBehind]) -> None:
        self.left_behind = what
        self.say("\n".join(f"left behind: {line}" for each in what for line in each.lines()))

    def outcome(self, text: str) -> None:
        self.became = text
        self.say(text)

"""A release on the terminal: steps and log lines while it runs, the report at the end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect_slipway.flows.reporting.watch import Report
from prefect_slipway.flows.values.result import LeftBehind, ReleaseResult

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.display.lines import Display


class Terminal:
    """Passes news on to the display (on stderr, so that stdout holds the result alone), and keeps what is told at the
    end.

    `run`, `page`: the run's id, and its address in the UI. `left_behind`: what could not be cleaned up.
    """

    def __init__(self, display: Display) -> None:
        self.display = display
        self.step, self.build, self.log, self.say = display.step, display.build, display.log, display.say
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
        if self.run is None:
            self.run, self.page = run, page
            self.display.run(run, page)

    def show(self, report: Report) -> None:
        self.report, self.result = report.as_text(shutil.get_terminal_size((100, 24)).columns), report.result

    def left(self, what: Sequence[LeftBehind]) -> None:
        self.left_behind = what
        self.say("\n".join(f"left behind: {line}" for each in what for line in each.lines()))

    def outcome(self, text: str) -> None:
        self.became = text
        self.say(text)

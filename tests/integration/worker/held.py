"""A run's process as the worker starts it, but it stands still at one moment:
`python -m tests.integration.worker.held FOLDER`.

The moment is told by what a watcher hears (`> tag`: the step begins) or by the end of a step (`< tag`), as
FOLDER/moment says. There the process writes its pid to FOLDER/held, and its event loop waits for FOLDER/go; Prefect's
heartbeats go on.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
import time
from pathlib import Path

from prefect_slipway.flows.reporting.watch import Nobody, StepNews, watching

_LOOK_EVERY_S = 0.05


class Holding(Nobody, logging.Handler):
    """A watcher, and a handler of what Prefect logs of its tasks."""

    def __init__(self, folder: Path) -> None:
        logging.Handler.__init__(self)
        self._folder = folder
        self._moment = (folder / "moment").read_text()

    def step(self, news: StepNews) -> None:
        if news.state == "running":
            self.say(f"> {news.name}")

    def say(self, text: str) -> None:
        if self._moment and self._moment in text:
            self._moment = ""
            (self._folder / "held").write_text(str(os.getpid()))
            while not (self._folder / "go").exists():
                time.sleep(_LOOK_EVERY_S)

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().endswith(": completed"):
            self.say(f"< {vars(record)['task_run_name']}")


def main(folder: Path) -> None:
    import prefect.main  # noqa: F401 (it sets Prefect's loggers up)

    holding = Holding(folder)
    logging.getLogger("prefect.task_runs").addHandler(holding)
    sys.argv = sys.argv[:1]
    with watching(holding):
        runpy.run_module("prefect.engine", run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

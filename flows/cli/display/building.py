"""A build by itself, told to a display: what the steps of a release tell for theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect_slipway.flows.cli.display.lines import Display, Plain
from prefect_slipway.flows.reporting.recorder import BuildRecorder
from prefect_slipway.flows.reporting.watch import shown_step
from prefect_slipway.infra.buildkit.build.events import BuildEvent

BuildNews = Callable[[BuildEvent], None]


@contextmanager
def build_news(display: Display) -> Iterator[BuildNews]:
    """Give it each event of the build within."""
    if not isinstance(display, Plain):
        with shown_step("build", display.step):
            yield lambda event: display.build("", event)
        return
    recorder = BuildRecorder()

    def log(event: BuildEvent) -> None:
        recorder(event)
        tell(recorder.take_lines(settled=False))

    def tell(lines: list[str]) -> None:
        if lines:
            display.log("\n".join(lines))

    try:
        yield log
    finally:
        recorder.finish()
        tell(recorder.take_lines())

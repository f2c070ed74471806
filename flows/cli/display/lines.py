"""Progress as lines: for people and logs, or for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from prefect_slipway.flows.reporting.watch import Nobody
from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk, Progress, Step, Warned

if TYPE_CHECKING:
    from prefect_slipway.flows.reporting.watch import StepNews

BUILD_EVENTS: Mapping[type[BuildEvent], str] = {
    Step: "build_step",
    LogChunk: "build_log",
    Progress: "build_progress",
    Warned: "build_warning",
}
"""What they are called in JSON."""


class Display(Protocol):
    """Shows what it is told, as a Watcher is (flows/reporting/watch)."""

    def run(self, run: str | None, page: str | None) -> None: ...

    def step(self, news: StepNews) -> None: ...

    def build(self, image: str, event: BuildEvent) -> None: ...

    def log(self, text: str) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None:
        """Nothing more comes. May be called twice."""


class Quiet(Nobody):
    """Shows nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def run(self, run: str | None, page: str | None) -> None:
        pass

    def close(self) -> None:
        pass

    def _write(self, line: str) -> None:
        # A terminal that was closed, a reader that went away: nobody listens, and the run continues (or cleans up).
        with suppress(OSError):
            print(line, file=self._stream, flush=True)


class Plain(Quiet):
    """The steps, and the build's log like `docker buildx build --progress plain`."""

    def run(self, run: str | None, page: str | None) -> None:
        self._write(f"run {page or run}")

    def step(self, news: StepNews) -> None:
        if news.state == "running":
            self._write(f"> {news.name}")
        elif news.state == "retrying":
            self._write(f"> {retry(news)}")

    def log(self, text: str) -> None:
        self._write(text)

    def say(self, text: str) -> None:
        self._write(text)


class Json(Quiet):
    """One event per line. docs/reference/json.md describes them."""

    def run(self, run: str | None, page: str | None) -> None:
        self._event("run", {"flow_run_id": run, "ui_url": page})

    def step(self, news: StepNews) -> None:
        self._event("step", news._asdict())

    def build(self, image: str, event: BuildEvent) -> None:
        self._event(BUILD_EVENTS[type(event)], {"image": image, **event._asdict()})

    def say(self, text: str) -> None:
        self._event("message", {"text": text})

    def _event(self, name: str, fields: Mapping[str, Any]) -> None:
        text = {key: value.decode(errors="replace") for key, value in fields.items() if isinstance(value, bytes)}
        self._write(json.dumps({"event": name, "time": round(time.time(), 3), **fields, **text}))


def retry(news: StepNews) -> str:
    """Why a step is tried again, and when."""
    return f"{news.name}: {news.reason}; trying again in {news.wait_s or 0.0:.1f} s"

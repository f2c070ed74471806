"""How `slipway build` shows a build: buildx's plain wording, a live display on a terminal, or JSON events."""

from __future__ import annotations

import json
import time
from typing import Protocol, TextIO

from prefect_slipway.flows.cli.guarded_output import Guarded
from prefect_slipway.flows.reporting.recorder import BuildRecorder
from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk

_REDRAW_EVERY_S = 0.1
_LOG_LINES = 6


class Display(Protocol):
    """Receives each event as it happens, and the end."""

    def __call__(self, event: BuildEvent) -> None: ...

    def finish(self) -> None: ...


class Quiet:
    """Shows nothing."""

    def __call__(self, event: BuildEvent) -> None:
        pass

    def finish(self) -> None:
        pass


class Plain:
    """One line for each event, like `docker buildx build --progress plain`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._recorder = BuildRecorder()

    def __call__(self, event: BuildEvent) -> None:
        self._recorder(event)
        self._write(self._recorder.take_lines(settled=False))

    def finish(self) -> None:
        self._recorder.finish()
        self._write(self._recorder.take_lines())

    def _write(self, lines: list[str]) -> None:
        if lines:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()


class RawJson:
    """One JSON event per line: its kind, then its fields; bytes as text with replacement characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: BuildEvent) -> None:
        values = event._asdict()
        if isinstance(event, LogChunk):
            values["data"] = event.data.decode(errors="replace")
        print(json.dumps({"event": type(event).__name__.lower(), **values}), file=self._stream, flush=True)

    def finish(self) -> None:
        pass


class Live:
    """The steps of a build on a terminal, redrawn in place: running ones with their last lines of output."""

    def __init__(self, stream: TextIO) -> None:
        # Its lines are plain already, and the cursor is moved between them.
        self._stream = stream.unguarded if isinstance(stream, Guarded) else stream
        self._recorder = BuildRecorder(keep_tail=_LOG_LINES)
        self._drawn = 0
        self._last = 0.0
        self._begun = time.monotonic()

    def __call__(self, event: BuildEvent) -> None:
        self._recorder(event)
        self._recorder.take_lines()
        if time.monotonic() - self._last >= _REDRAW_EVERY_S:
            self._draw()

    def finish(self) -> None:
        self._recorder.finish()
        self._draw()

    def _draw(self) -> None:
        self._last = time.monotonic()
        import shutil

        width, height = shutil.get_terminal_size()
        lines = [f"[+] Building {self._last - self._begun:.1f}s"]
        lines += self._recorder.table(width)
        # What does not fit scrolls away from under the cursor: keep the newest.
        shown = [line[: width - 1] for line in (lines if len(lines) < height else [lines[0], *lines[-height + 2 :]])]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in shown))
        if len(shown) < self._drawn:
            self._stream.write("\x1b[J")
        self._drawn = len(shown)
        self._stream.flush()


def display_for(progress: str, stream: TextIO) -> Display:
    """`auto` is the live display on a terminal, and plain lines elsewhere."""
    if progress == "auto":
        progress = "tty" if stream.isatty() else "plain"
    kinds: dict[str, type[Plain] | type[Live] | type[RawJson]] = {"plain": Plain, "tty": Live, "rawjson": RawJson}
    return Quiet() if progress == "quiet" else kinds[progress](stream)

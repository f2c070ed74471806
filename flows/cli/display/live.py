"""Progress in a terminal: what has ended is printed once, what runs is redrawn below it and removed at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live as RichLive
from rich.text import Text

from prefect_slipway.flows.cli.display.lines import retry
from prefect_slipway.flows.cli.guarded_output import shows_colours
from prefect_slipway.flows.reporting.recorder import BuildRecorder, RunningStep, was_cancelled
from prefect_slipway.infra.buildkit.build.events import BuildEvent, Step, Warned
from prefect_slipway.infra.domain.outside import one_line, plain
from prefect_slipway.infra.domain.text import human_size

if TYPE_CHECKING:
    from prefect_slipway.flows.reporting.watch import StepNews

_REDRAW_EVERY_S = 0.1
_LOG_LINES = 4
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_BAR_CELLS = 20
# The frontend's own steps are told where they took longer.
_WORTH_TELLING_S = 1.0

_MARKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("-", "yellow"),
    "retrying": ("↻", "yellow"),
}


class Live:
    """On `stream`, which is a terminal. Its methods only take note; a thread draws.

    `_steps`: when each running step began, or is tried again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = _Closable(stream)
        self._console = Console(
            file=self._stream,  # type: ignore[arg-type]
            force_terminal=True,
            force_interactive=True,
            no_color=not shows_colours(stream),
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        self._region = _Region(self._console)
        self._lock = threading.Lock()
        self._lines: list[Text] = []
        self._steps: dict[str, float] = {}
        self._builds: dict[str, BuildRecorder] = {}
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw_until_over, name="display", daemon=True)
        self._region.start()
        self._thread.start()

    def run(self, run: str | None, page: str | None) -> None:
        self.say(f"run {page or run}")

    def step(self, news: StepNews) -> None:
        with self._lock:
            if news.state in {"running", "retrying"}:
                self._steps[news.name] = time.monotonic() + (news.wait_s or 0.0)
            else:
                self._steps.pop(news.name, None)
                self._take_ended(all_of_them=True)
                if news.state != "completed":
                    self._builds.clear()  # the daemon may have had no time to end its steps
            if news.state != "running":
                text = retry(news) if news.state == "retrying" else news.name
                self._lines.append(_ended(news.state, news.duration_s, text, bold=True))

    def build(self, image: str, event: BuildEvent) -> None:
        with self._lock:
            recorder = self._builds.setdefault(image, BuildRecorder(keep_tail=_LOG_LINES))
            recorder(event)
            recorder.take_lines()
            if isinstance(event, Warned):
                where = f" ({event.file}:{event.line})" if event.line is not None else ""
                self._lines.append(Text(one_line(f"WARN: {event.short}{where}"), style="yellow"))

    def log(self, text: str) -> None:
        """The running steps show their last lines."""

    def say(self, text: str) -> None:
        with self._lock:
            self._lines += [Text(line) for line in plain(text).split("\n")]

    def close(self) -> None:
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        self._draw(last=True)
        self._region.stop()

    def _draw_until_over(self) -> None:
        while not self._over.wait(_REDRAW_EVERY_S):
            self._draw()

    def _draw(self, *, last: bool = False) -> None:
        with self._lock:
            self._take_ended(all_of_them=last)
            lines, self._lines = self._lines, []
            region = list(self._running())
        height = max(1, self._console.height - 1)
        # What does not fit scrolls away from under the cursor: keep the newest.
        self._region.update(Group(*region[-height:]))
        with self._console.capture() as drawn:
            if lines:
                self._console.print(*lines, sep="\n", soft_wrap=True)
            self._region.refresh()
        self._stream.write(self._region.unwrapped() + drawn.get())
        self._stream.flush()

    def _take_ended(self, *, all_of_them: bool) -> None:
        for image, recorder in self._builds.items():
            for step in recorder.take_ended(all_of_them=all_of_them):
                seconds = (step.completed or 0.0) - (step.started or step.completed or 0.0)
                failed = bool(step.error) and not was_cancelled(step)
                if step.name.startswith(("[internal]", "[auth]")) and not failed and seconds < _WORTH_TELLING_S:
                    continue
                state = "failed" if failed else "cancelled" if step.error else "completed"
                line = _ended(state, seconds, _named(image, step), note="CACHED" if step.cached else "")
                line.truncate(self._console.width, overflow="ellipsis")
                self._lines.append(line)

    def _running(self) -> Iterator[Text]:
        """The lines of the region, at least one."""
        now = time.monotonic()
        frame = _FRAMES[int(now * 10) % len(_FRAMES)]
        if not self._steps:
            yield _line(frame, "cyan", now - self._begun, "")
        for name, since in self._steps.items():
            if since > now:
                yield _line(*_MARKS["retrying"], since - now, f"{name}: until the next try", bold=True)
            else:
                yield _line(frame, "cyan", now - since, name, bold=True)
        for image, recorder in self._builds.items():
            for each in recorder.running():
                yield from self._build_step(image, each, frame)

    def _build_step(self, image: str, running: RunningStep, frame: str) -> Iterator[Text]:
        seconds = max(0.0, time.time() - (running.step.started or 0.0))
        yield _line(frame, "cyan", seconds, _named(image, running.step) + self._transferred(running))
        for text in running.tail:
            yield Text(f"            | {plain(text)}", style="dim", no_wrap=True, overflow="ellipsis")

    def _transferred(self, running: RunningStep) -> str:
        if not running.current:
            return ""
        if not running.total:
            return f"  {human_size(running.current)}"
        share = min(1.0, running.current / running.total)
        done = round(share * _BAR_CELLS)
        bar = f"  {'━' * done}{'─' * (_BAR_CELLS - done)}" if self._console.width >= 80 else ""
        return f"{bar}  {human_size(running.current)} / {human_size(running.total)}"


def _named(image: str, step: Step) -> str:
    return f"  {image} {one_line(step.name)}" if image else f"  {one_line(step.name)}"


def _ended(state: str, seconds: float | None, text: str, *, note: str = "", bold: bool = False) -> Text:
    return _line(*_MARKS[state], seconds, text, note=note, bold=bold)


def _line(mark: str, colour: str, seconds: float | None, text: str, *, note: str = "", bold: bool = False) -> Text:
    """A line that is cut at the terminal's edge."""
    note = note or ("" if seconds is None else f"{seconds:.1f}s")
    return Text.assemble(
        (mark, colour), (f"{note:>8}  ", "dim"), (text, "bold" if bold else ""), no_wrap=True, overflow="ellipsis"
    )


class _Region(RichLive):
    """A terminal that is made narrower wraps the lines that are drawn: more of them have to be removed then."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            Text(""), console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._next: tuple[list[int], int] = ([], console.width)
        self._drawn = self._next

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        options = self.console.options
        lines = self.console.render_lines(self.get_renderable(), options, pad=False)
        self._next = [sum(segment.cell_length for segment in line) for line in lines], options.max_width
        return super().process_renderables(renderables)

    def unwrapped(self) -> str:
        """What removes the lines by which the terminal has wrapped the region that is there. To be asked when the next
        one is about to be written: in between, the terminal may change again."""
        (cells, drawn_for), self._drawn = self._drawn, self._next
        width = self.console.width
        if width >= drawn_for:
            return ""
        return "\x1b[2K\x1b[1A" * sum((count - 1) // width for count in cells if count)


class _Closable:
    """A terminal that may be closed: nobody looks at it then, and the run continues (or cleans up)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

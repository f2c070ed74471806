"""The output of a running build: log lines in buildx's plain format, progress, and each step's time."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk, Progress, Step, Warned
from prefect_slipway.infra.domain.outside import coloured, one_line
from prefect_slipway.infra.domain.text import human_size

if TYPE_CHECKING:
    from prefect_slipway.flows.values.result import StepTime

# One log record in Prefect holds that much: joined chunks cost a fraction of a record a line, and stay below the
# server's limit of 1,000,000 bytes a record (PREFECT_LOGGING_TO_API_MAX_LOG_SIZE).
CHUNK_LINES = 200
CHUNK_CHARACTERS = 100_000


class _Seen:
    """A step and its reported state. `number`: assigned with the first report, 0 before."""

    __slots__ = ("ended", "number", "partial", "settled", "step", "tail", "taken", "transfers")

    def __init__(self, step: Step, keep_tail: int) -> None:
        self.step = step
        self.number = 0
        self.ended = self.settled = self.taken = False
        self.tail: deque[str] = deque(maxlen=keep_tail)
        self.partial: dict[int, bytes] = {}
        self.transfers: dict[str, Progress] = {}


class RunningStep(NamedTuple):
    """A step that runs. `tail`: its last lines of output. `current`, `total`: what its parts have transferred, usually
    in bytes; `total` 0: unknown."""

    step: Step
    tail: tuple[str, ...]
    current: int
    total: int


class BuildRecorder:
    """Call it with each event, and take the news from time to time. It keeps the steps but not the log, so memory
    stays flat.

    What it gives is harmless: of control sequences the colours of a step's output alone are left.
    """

    def __init__(self, *, keep_tail: int = 0) -> None:
        """`keep_tail`: lines of output kept of each step, for `running`."""
        self._keep_tail = keep_tail
        self._seen: dict[str, _Seen] = {}
        self._lines: list[str] = []
        self._numbers = itertools.count(1)

    def __call__(self, event: BuildEvent) -> None:
        if isinstance(event, Step):
            self._on_step(event)
        elif isinstance(event, LogChunk):
            self._on_log(event)
        elif isinstance(event, Progress):
            self._on_progress(event)
        elif isinstance(event, Warned):
            where = f" ({event.file}:{event.line})" if event.line is not None else ""
            self._lines.append(f"WARN: {one_line(event.short + where)}")

    def take_lines(self, *, settled: bool = True) -> list[str]:
        """The lines since the last call. `settled`: report finished steps now, not only before the next step."""
        if settled:
            self._tell_endings()
        lines, self._lines = self._lines, []
        return lines

    def take_chunks(self) -> Iterator[str]:
        """The same, joined into chunks."""
        chunk: list[str] = []
        size = 0
        for line in self.take_lines():
            if chunk and (len(chunk) >= CHUNK_LINES or size + len(line) > CHUNK_CHARACTERS):
                yield "\n".join(chunk)
                chunk, size = [], 0
            chunk.append(line)
            size += len(line) + 1
        if chunk:
            yield "\n".join(chunk)

    def finish(self) -> None:
        """The build is over: incomplete lines count as complete now."""
        for seen in self._seen.values():
            for rest in seen.partial.values():
                if rest:
                    self._say(seen, rest.decode(errors="replace"))
            seen.partial.clear()

    def running(self) -> Iterator[RunningStep]:
        """The steps that run (`keep_tail`)."""
        for seen in self._seen.values():
            if seen.step.started is not None and seen.step.completed is None:
                parts = seen.transfers.values()
                yield RunningStep(
                    seen.step,
                    tuple(seen.tail),
                    sum(part.current for part in parts),
                    sum(part.total for part in parts) if all(part.total for part in parts) else 0,
                )

    def take_ended(self, *, all_of_them: bool = False) -> Iterator[Step]:
        """The steps that have ended since the last call and the one before: the daemon ends and restarts a step for
        each of its parts."""
        for seen in self._seen.values():
            if seen.step.completed is None or seen.taken:
                seen.settled = False
            elif seen.settled or all_of_them:
                seen.taken = True
                yield seen.step
            else:
                seen.settled = True

    @property
    def percent(self) -> float:
        """Share of the known steps that are completed, 0 to 100. It can fall when a stage makes new steps known."""
        if not self._seen:
            return 0.0
        done = sum(1 for seen in self._seen.values() if seen.step.completed is not None)
        return 100.0 * done / len(self._seen)

    @property
    def current(self) -> str:
        """The name of a step that runs right now, "" if none does."""
        running = [s.step for s in self._seen.values() if s.step.started and s.step.completed is None]
        return one_line(running[-1].name) if running else ""

    def steps(self) -> Iterator[Step]:
        """The steps as last reported."""
        return (seen.step for seen in self._seen.values())

    def counts(self) -> tuple[int, int]:
        """The Dockerfile's steps that were completed, and how many of these came from the cache."""
        completed = (seen.step for seen in self._seen.values() if seen.step.completed is not None)
        steps = [step for step in completed if _of_the_dockerfile(step) and not was_cancelled(step)]
        return len(steps), sum(1 for step in steps if step.cached)

    def timeline(self) -> tuple[StepTime, ...]:
        """All steps that started, in their order."""
        from prefect_slipway.flows.values.result import StepTime

        started = sorted(
            (s.step for s in self._seen.values() if s.step.started is not None),
            key=lambda step: step.started or 0.0,
        )
        if not started:
            return ()
        begin = started[0].started or 0.0
        last = max(step.completed or step.started or begin for step in started)
        return tuple(
            StepTime(
                name=one_line(step.name),
                start_s=round((step.started or begin) - begin, 3),
                end_s=round((step.completed or last) - begin, 3),
                cached=step.cached,
                failed=bool(step.error) and not was_cancelled(step),
            )
            for step in started
        )

    def _on_step(self, step: Step) -> None:
        seen = self._seen.get(step.digest)
        if seen is None:
            seen = self._seen[step.digest] = _Seen(step, self._keep_tail)
        # A step whose layers are fetched from a registry cache later on is reported again, and then not as cached.
        seen.step = step = step._replace(cached=step.cached or seen.step.cached)
        if step.started is not None:
            self._introduce(seen)
        if step.cached:
            self._tell_endings()

    def _introduce(self, seen: _Seen) -> None:
        if not seen.number:
            self._tell_endings()
            seen.number = next(self._numbers)
            self._lines.append(f"#{seen.number} {one_line(seen.step.name)}")

    def _tell_endings(self) -> None:
        # Told late on purpose (before the next step, or when the news is taken): the daemon ends and restarts a step
        # for each of its parts, and their news come after the first ending.
        for seen in self._seen.values():
            if seen.step.completed is not None and seen.number and not seen.ended:
                seen.ended = True
                self._lines.append(f"#{seen.number} {_ending(seen.step)}")

    def _on_log(self, chunk: LogChunk) -> None:
        seen = self._seen.get(chunk.step)
        if seen is None:
            return
        *whole, rest = (seen.partial.get(chunk.stream, b"") + chunk.data).split(b"\n")
        seen.partial[chunk.stream] = rest
        for line in whole:
            self._say(seen, line.decode(errors="replace").rstrip("\r"), chunk.time)

    def _on_progress(self, progress: Progress) -> None:
        seen = self._seen.get(progress.step)
        if seen is not None and self._keep_tail:
            seen.transfers[progress.id] = progress
        if seen is not None and progress.completed is not None:
            # A log only needs a transfer's end; the UI shows its progress.
            self._introduce(seen)
            amount = f" {human_size(progress.current)}" if progress.current else ""
            self._lines.append(f"#{seen.number} {one_line(progress.id)}{amount} done")

    def _say(self, seen: _Seen, text: str, at: float | None = None) -> None:
        self._introduce(seen)
        text = coloured(text)
        seen.tail.append(text)
        since = f"{max(0.0, at - seen.step.started):.3f} " if at is not None and seen.step.started else ""
        self._lines.append(f"#{seen.number} {since}{text}")


def was_cancelled(step: Step) -> bool:
    """Whether a step was given up, as the daemon does once a later one is found in a cache (buildx,
    util/progress/progressui/printer.go)."""
    return step.error.endswith("context canceled")


def _ending(step: Step) -> str:
    if was_cancelled(step):
        return "CANCELED"
    if step.error:
        return f"ERROR: {one_line(step.error)}"
    if step.cached:
        return "CACHED"
    return f"DONE {(step.completed or 0.0) - (step.started or 0.0):.1f}s"


def _of_the_dockerfile(step: Step) -> bool:
    # The frontend names its own steps "[internal] …", the daemon's "exporting …", "[auth] …" carry no stage either.
    return step.name.startswith("[") and not step.name.startswith(("[internal]", "[auth]", "[context "))

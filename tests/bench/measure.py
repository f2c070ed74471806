"""Runs whole processes in turn and compares them."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Run:
    """One process, from its start until it has been waited for: seconds, and the peak of its memory in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True)
class Side:
    """A command. `before`: done before each run, outside of what is measured. `stderr`: a file for what it says."""

    command: Sequence[str | Path]
    env: Mapping[str, str]
    before: Callable[[], None] = lambda: None
    stderr: Path | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table. `ours` and `theirs`: medians; `value` is what has the `goal` (None: it has none),
    both in `unit`."""

    case: str
    ours: float
    theirs: float
    value: float
    goal: float | None
    unit: str = "x"
    note: str = ""
    runs: tuple[tuple[Run, ...], tuple[Run, ...]] = ((), ())

    def text(self) -> str:
        value = f"{self.value:.2f} {self.unit}"
        goal = f"{self.goal:.2f} {self.unit}" if self.goal is not None else "-"
        return f"{self.case:<28}{self.ours:>10.2f}{self.theirs:>10.2f}{value:>12}{goal:>12}  {self.note}".rstrip()

    def json(self) -> dict[str, object]:
        return asdict(self)


HEADER = f"{'case':<28}{'ours':>10}{'theirs':>10}{'measured':>12}{'goal':>12}"


def run(side: Side) -> Run:
    """Run it once. Raises CalledProcessError."""
    side.before()
    with (side.stderr or Path(os.devnull)).open("ab") as said:
        return _run(side, said)


def _run(side: Side, said: IO[bytes]) -> Run:
    begun = time.monotonic()
    process = subprocess.Popen(
        side.command, env=dict(side.env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
    )
    peak = _Peak(process.pid)
    _, status, used = os.wait4(process.pid, 0)
    ended = time.monotonic()
    peak.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(map(str, side.command)))
    return Run(ended - begun, used.ru_utime + used.ru_stime, peak.kib / 1024)


class _Peak(threading.Thread):
    """A process's largest resident size, looked at until it ends. `ru_maxrss` will not do: a child begins with what its
    parent had, and this parent is larger than what is measured."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.kib = 0
        self._status = Path(f"/proc/{pid}/status")
        self.start()

    def run(self) -> None:
        while True:
            try:
                lines = self._status.read_text().splitlines()
            except OSError:
                return
            peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
            if not peaks:
                return  # it has ended and waits to be noticed
            self.kib = peaks[0]
            time.sleep(0.05)


def in_turn(ours: Side, theirs: Side, count: int) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """A B A B ..., so that a machine that is busier at times is so for both."""
    pairs = [(run(ours), run(theirs)) for _ in range(count)]
    return tuple(first for first, _ in pairs), tuple(second for _, second in pairs)


def ratio(case: str, ours: Side, theirs: Side, count: int, goal: float, note: str = "") -> Row:
    """Wall time over wall time; the note has the same of CPU time."""
    runs = in_turn(ours, theirs, count)
    ours_s, theirs_s = (median(side, "wall_s") for side in runs)
    ours_cpu, theirs_cpu = (median(side, "cpu_s") for side in runs)
    note = f"CPU {ours_cpu:.2f} / {theirs_cpu:.2f} s = {ours_cpu / theirs_cpu:.2f} x {note}"
    return Row(case, ours_s, theirs_s, ours_s / theirs_s, goal, note=note, runs=runs)


def median(runs: Sequence[Run], figure: str) -> float:
    return float(statistics.median(getattr(each, figure) for each in runs))

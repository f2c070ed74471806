"""A look at all processes of the machine again and again: their arguments and environments, for secrets."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.faults.haystack import Needles


@dataclass
class Sightings:
    """`found`: (pid, `cmdline` or `environ`, the program, secrets). `looked_at`: processes that were seen at all."""

    found: set[tuple[int, str, str, frozenset[str]]] = field(default_factory=set)
    looked_at: set[int] = field(default_factory=set)


@contextmanager
def watched_processes(needles: Needles) -> Iterator[Sightings]:
    """Look while the block runs, and once more at its end."""
    sightings, done = Sightings(), threading.Event()
    known: dict[Path, bytes] = {}

    def watch() -> None:
        while not done.wait(0.03):
            _look(needles, sightings, known)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sightings
    finally:
        done.set()
        thread.join()
        _look(needles, sightings, known)


def _look(needles: Needles, sightings: Sightings, known: dict[Path, bytes]) -> None:
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        for what in ("cmdline", "environ"):
            try:
                content = (process / what).read_bytes()
                if known.get(process / what) == content:
                    continue
                known[process / what] = content
                hits = needles.in_bytes(content)
                sightings.looked_at.add(int(process.name))
                if hits:
                    name = (process / "comm").read_text().strip()
                    sightings.found.add((int(process.name), what, name, frozenset(hits)))
            except OSError:
                pass  # it has ended meanwhile

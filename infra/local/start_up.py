"""Run independent start-up jobs at the same time, and stop waiting for all of them on Ctrl-C."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from prefect_slipway.infra.domain.errors import Interrupted, SlipwayError
from prefect_slipway.infra.local.daemon import DaemonSpec


def raise_all(errors: Sequence[SlipwayError]) -> None:
    """Raise the first one, with the other ones' causes in its details; nothing if there is none."""
    if errors:
        first, *others = errors
        first.details = "\n".join(filter(None, [first.details, *(f"Also: {other.cause}" for other in others)]))
        raise first


class ThreadedJobs:
    """Jobs in threads of their own. A job that waits for a daemon does so through `interruptible`."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def run(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Run all jobs to their end; raises the first one's error, the other ones' causes in its details."""
        with ThreadPoolExecutor() as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                wait(futures)
            except BaseException:
                self._interrupted.set()
                raise
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in errors:
            if not isinstance(error, SlipwayError):
                raise error
        raise_all([error for error in errors if isinstance(error, SlipwayError)])

    def interruptible(self, spec: DaemonSpec) -> DaemonSpec:
        """The same daemon, whose start is given up as soon as the main thread is interrupted."""

        def ready() -> bool:
            if self._interrupted.is_set():
                raise Interrupted(f"interrupted while {spec.name} was starting")
            return spec.ready()

        return dataclasses.replace(spec, ready=ready)

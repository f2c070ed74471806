"""The observer of a release besides Prefect: the command line's terminal, or nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from prefect_slipway.flows.values.result import LeftBehind, ReleaseResult


class Report(Protocol):
    """The part of a report that can be shown."""

    @property
    def result(self) -> ReleaseResult: ...

    def as_text(self) -> str: ...


class Watcher(Protocol):
    """Receives news as it happens. Called in the event loop, so it must not block."""

    def runs(self, run: str | None, page: str | None) -> None:
        """A run has begun. `page`: its address in the UI, None if it has none."""
        ...

    def say(self, text: str) -> None:
        """A step's news, or lines of the build's log."""
        ...

    def show(self, report: Report) -> None:
        """Show the report at the end, and again if the clean-up adds something."""
        ...

    def left(self, what: Sequence[LeftBehind]) -> None:
        """What the clean-up could not remove, however the release ended."""
        ...

    def outcome(self, text: str) -> None:
        """What became of a rollout that failed or was interrupted, where it had changed something."""
        ...


class Nobody:
    """Watches nothing."""

    def runs(self, run: str | None, page: str | None) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def show(self, report: Report) -> None:
        pass

    def left(self, what: Sequence[LeftBehind]) -> None:
        pass

    def outcome(self, text: str) -> None:
        pass


_NOBODY = Nobody()
_watcher: ContextVar[Watcher] = ContextVar("watcher", default=_NOBODY)


def watcher() -> Watcher:
    """The watcher of the current release."""
    return _watcher.get()


@contextmanager
def watching(who: Watcher) -> Iterator[None]:
    """Within: let `who` watch the releases."""
    token = _watcher.set(who)
    try:
        yield
    finally:
        _watcher.reset(token)

"""The observer of a release besides Prefect: the command line's terminal, or nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from prefect_slipway.infra.domain.errors import SlipwayError

if TYPE_CHECKING:
    from prefect_slipway.flows.values.result import LeftBehind, ReleaseResult
    from prefect_slipway.infra.buildkit.build.events import BuildEvent


class StepNews(NamedTuple):
    """The new state of a step. `duration_s`: seconds of this try, null while it runs.

    `reason`: of a failure or another try, "" otherwise. `wait_s`: seconds until the next try.
    """

    name: str
    state: Literal["running", "completed", "failed", "cancelled", "retrying"]
    duration_s: float | None = None
    reason: str = ""
    wait_s: float | None = None


class Report(Protocol):
    """The part of a report that can be shown."""

    @property
    def result(self) -> ReleaseResult: ...

    def as_text(self, width: int) -> str: ...


class Watcher(Protocol):
    """Receives news as it happens. Called in the event loop, so it must not block."""

    def runs(self, run: str | None, page: str | None) -> None:
        """A run has begun. `page`: its address in the UI, None if it has none."""
        ...

    def step(self, news: StepNews) -> None:
        """A step has begun or ended, or is tried again."""
        ...

    def build(self, image: str, event: BuildEvent) -> None:
        """The event of a build. `image`: its target, "" if there is only one."""
        ...

    def log(self, text: str) -> None:
        """Lines of a build's log, which its events have brought."""
        ...

    def say(self, text: str) -> None:
        """A message, e.g. a warning."""
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

    def step(self, news: StepNews) -> None:
        pass

    def build(self, image: str, event: BuildEvent) -> None:
        pass

    def log(self, text: str) -> None:
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


@contextmanager
def shown_step(name: str, tell: Callable[[StepNews], None] | None = None) -> Iterator[None]:
    """Within: a step. `tell`: who hears of it, by default the watcher."""
    tell = tell or watcher().step
    begun = time.monotonic()
    tell(StepNews(name, "running"))

    def ended(state: Literal["completed", "failed", "cancelled"], reason: str = "") -> None:
        tell(StepNews(name, state, round(time.monotonic() - begun, 3), reason))

    try:
        yield
    except Exception as error:
        ended("failed", error.cause if isinstance(error, SlipwayError) else "")
        raise
    except BaseException:
        ended("cancelled")
        raise
    ended("completed")

"""What all named causes share."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

from prefect_slipway.infra.domain.outside import plain

__all__ = ["Interrupted", "SlipwayError"]


class SlipwayError(Exception):
    """A named cause. `str()` is "what happened" and, on a second line, the next action.

    `cause`: one sentence, no secret in it. `action`: what to do next; None takes the class's default.
    `retry_after`: seconds the other side asked to wait, None when it did not say. `details`: further lines to show
    below (an excerpt of a Dockerfile, a daemon's last lines). `run`, `page`: id of the flow run that failed of it,
    and where it can be seen.
    """

    retryable: ClassVar[bool] = False
    most_tries: int | None = None
    """How often the same is worth a try where nobody says how long to wait; None: as often as a step is tried."""
    default_action: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1
    run: str | None = None
    page: str | None = None

    def __init__(
        self, cause: str, *, action: str | None = None, retry_after: float | None = None, details: str = ""
    ) -> None:
        # They hold what others said: here it becomes harmless, wherever the error is shown.
        self.cause = plain(cause)
        super().__init__(self.cause)
        self.action = self.default_action if action is None else plain(action)
        self.retry_after = retry_after
        self.details = plain(details)

    @property
    def name(self) -> str:
        """The cause's name, as metrics and states show it."""
        return type(self).__name__

    def __str__(self) -> str:
        parts = [self.cause]
        if self.details:
            parts.append(self.details.rstrip("\n"))
        if self.action:
            parts.append(f"Next: {self.action}")
        return "\n".join(parts)

    def adding(self, text: str) -> Self:
        """The same cause, with what became of it."""
        more = copy.copy(self)
        more.cause = f"{self.cause}; {text}"
        more.args = (more.cause,)
        return more

    def __repr__(self) -> str:
        # Prefect's log quotes what a task failed with, and its retries, by repr.
        return self.cause

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments: the default reduction would lose them, and a task runner may pickle errors.
        return _rebuild, (type(self), self.__dict__.copy())

    @classmethod
    def _restore(cls, state: dict[str, Any]) -> Self:
        error = cls.__new__(cls)
        error.__dict__.update(state)
        error.args = (state["cause"],)
        return error


def _rebuild(cls: type[SlipwayError], state: dict[str, Any]) -> SlipwayError:
    return cls._restore(state)


class Interrupted(SlipwayError):
    exit_code = 130
    default_action = "nothing was left behind; you can run the same command again"

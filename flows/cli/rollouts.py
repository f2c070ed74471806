"""What the commands that roll out have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from flows.cli.following import recorded
from flows.domain.errors import Interrupted

if TYPE_CHECKING:
    from flows.cli.terminal import Terminal

_OUTCOME = "an image that was not rolled out yet was taken back, see above; the same command may be run again"


class Result(Protocol):
    """What such a flow gives."""

    @property
    def summary(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


def run_recorded(start: Callable[[], Coroutine[Any, Any, Result]], output: str) -> int:
    """Run the flow that `start` begins and print its result. Raises SlipwayError."""
    result, _ = recorded(start, _taken_back)
    print(json.dumps(result.as_dict()) if output == "json" else result.summary)
    return 0


def _taken_back(_: Terminal) -> Result:
    raise Interrupted("the rollout was interrupted", action=_OUTCOME)

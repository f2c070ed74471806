"""What the rollout commands share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from prefect_slipway.flows.cli.run_flow import recorded
from prefect_slipway.infra.domain.errors import Interrupted

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.release_display import Terminal


class Result(Protocol):
    """The result of such a flow."""

    @property
    def summary(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


def run_recorded(
    start: Callable[[], Coroutine[Any, Any, Result]],
    args: argparse.Namespace,
    *,
    untouched: str = "nothing was changed",
) -> int:
    """Run the flow that `start` begins and print its result. `untouched`: the outcome of an interruption that had
    nothing to undo. Raises SlipwayError."""

    def interrupted(terminal: Terminal) -> Result:
        became = terminal.became or untouched
        raise Interrupted(f"the rollout was interrupted: {became}", action="you can run the same command again")

    result, _ = recorded(start, interrupted, args.progress)
    print(json.dumps(result.as_dict()) if args.format == "json" else result.summary)
    return 0

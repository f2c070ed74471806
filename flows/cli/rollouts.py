"""What the rollout commands share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from prefect_slipway.flows.cli.display.choice import add_progress_option
from prefect_slipway.flows.cli.formats import add_format_option
from prefect_slipway.flows.cli.run_flow import recorded
from prefect_slipway.infra.domain.errors import Interrupted

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.release_display import Terminal
    from prefect_slipway.flows.request.model import Request
    from prefect_slipway.flows.request.rollout import CheckedOptions


class Result(Protocol):
    """The result of such a flow."""

    @property
    def summary(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


Run = Coroutine[Any, Any, Result]


def add_rollout_options(
    parser: argparse.ArgumentParser, model: type[Request], *, positional: str, git: bool = True
) -> None:
    """The request's options, those of a place in git, and those for output."""
    from prefect_slipway.flows.cli.git_options import add_git_options
    from prefect_slipway.flows.cli.options import add_request_options

    add_request_options(parser, model, positional=positional)
    if git:
        add_git_options(parser)
    add_format_option(parser)
    add_progress_option(parser)


def run_recorded(
    request: CheckedOptions,
    begin: Callable[[], Run],
    args: argparse.Namespace,
    *,
    untouched: str = "nothing was changed",
) -> int:
    """Check the request, run the flow that `begin` begins, and print its result. `untouched`: the outcome of an
    interruption that had nothing to undo. Raises SlipwayError."""

    def start() -> Run:
        from prefect_slipway.flows.run.preflight import check_rollout

        check_rollout(request)
        return begin()

    def interrupted(terminal: Terminal) -> Result:
        became = terminal.became or untouched
        raise Interrupted(f"the rollout was interrupted: {became}", action="you can run the same command again")

    result, _ = recorded(start, interrupted, args.progress)
    print(json.dumps(result.as_dict()) if args.format == "json" else result.summary)
    return 0

"""Run a flow in this process, recorded by Prefect and shown on the terminal."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from prefect_slipway.flows.cli.display.choice import display, progress_of
from prefect_slipway.flows.cli.folding import print_facts
from prefect_slipway.infra.domain.errors import Interrupted, SlipwayError

if TYPE_CHECKING:
    from prefect_slipway.flows.cli.build_results import ResultFile
    from prefect_slipway.flows.cli.release_display import Terminal
    from prefect_slipway.flows.request.release import ReleaseRequest
    from prefect_slipway.flows.values.result import ReleaseResult

R = TypeVar("R")

NOT_CLEANED_UP, NOT_ON_FORGE, NOT_DEPLOYED = 3, 4, 5
"""Exit codes."""


def follow(request: ReleaseRequest, args: argparse.Namespace, metadata: ResultFile | None = None) -> int:
    """Check the request, run the release's flow and print how it ended. `args`: with `format`, `progress` and `quiet`.
    `metadata`: a file for the images by target.

    0: released, or nothing to release; NOT_CLEANED_UP: so, but something of it is left; NOT_ON_FORGE: so,
    but the release on the forge is missing; NOT_DEPLOYED: so, but a deploy target does not have it. Raises
    SlipwayError.
    """

    def start() -> Coroutine[Any, Any, ReleaseResult]:
        from prefect_slipway.flows.release import release
        from prefect_slipway.flows.run.preflight import check_release

        check_release(request)
        return release(request)

    result, terminal = recorded(start, _public_already, progress_of(args))
    if metadata is not None:
        metadata.write(json.dumps(result.metadata, indent=2))
    if args.format == "json":
        print(json.dumps(result.as_dict()))
    elif args.quiet:
        print("".join(f"{image.reference}\n" for image in result.images), end="")
    else:
        print_facts(terminal.report or result.reason)
    if result.left_behind:
        return NOT_CLEANED_UP
    if result.not_deployed:
        return NOT_DEPLOYED
    return NOT_ON_FORGE if result.forge is not None and result.forge.warning else 0


def recorded(
    start: Callable[[], Coroutine[Any, Any, R]], interrupted: Callable[[Terminal], R], progress: str
) -> tuple[R, Terminal]:
    """Run the flow that `start` begins (which imports it: Prefect reads its settings then), with its `progress` in this
    form on standard error.

    `interrupted`: what an interruption comes to: it raises, or gives the result that was there already. Raises
    SlipwayError.
    """
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server
    from prefect_slipway.flows.run.interrupts import SIGNALS

    # Until the flow handles these signals itself, each of them is a Ctrl-C.
    for number in SIGNALS:
        _handle(number, signal.default_int_handler)
    # A run waits a minute for an unreachable server: Prefect's default, 5, may give up after 50 s.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "6")
    # What Prefect's threads cannot send they would print: each event whole, and for the log a line without an end.
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
    logging.raiseExceptions = False
    use_prefect_server()
    _check_space()
    # Imported late, because importing Prefect takes a second and reads its settings from the environment.
    with _no_garbage():
        import prefect.flows  # noqa: F401

        from prefect_slipway.flows.cli.release_display import Terminal

    with display(progress) as shown:
        terminal = Terminal(shown)
        try:
            return _followed(start, interrupted, terminal), terminal
        except SlipwayError as error:
            error.run, error.page = terminal.run, terminal.page
            raise
        finally:
            # What is left to be done is to send the last of the log.
            late = _Late()
            for number in SIGNALS:
                _handle(number, late)


def _followed(
    start: Callable[[], Coroutine[Any, Any, R]], interrupted: Callable[[Terminal], R], terminal: Terminal
) -> R:
    from prefect import tags
    from prefect.exceptions import TerminationSignal

    from prefect_slipway.flows.reporting.watch import watching
    from prefect_slipway.flows.server.errors import is_prefects, prefect_cause

    try:
        # The tag by which the automations know the runs they look after.
        with watching(terminal), tags("slipway"):
            with _no_garbage():
                flow = start()
            return asyncio.run(_recorded(flow))
    except (KeyboardInterrupt, TerminationSignal, asyncio.CancelledError):
        return interrupted(terminal)
    except Exception as error:
        cause = prefect_cause(error) if is_prefects(error) else None
        if cause is None:
            raise
        if not terminal.is_public:
            raise cause from error
        terminal.say(f"warning: the image is public, but its record is incomplete: {cause.cause}")
        return interrupted(terminal)


async def _recorded(flow: Coroutine[Any, Any, R]) -> R:
    from prefect_slipway.flows.run.interrupts import interruptible
    from prefect_slipway.flows.server.errors import prefect_client

    with interruptible(around=True):
        try:
            async with prefect_client():
                return await flow
        finally:
            flow.close()  # where it has not begun


def _handle(number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> None:
    """Handle a signal, unless it is ignored: by nohup, or in a shell's background."""
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, handler)


class _Late:
    """Signals after the end: one may belong to those that ended the run, the next one ends the process at once."""

    def __init__(self) -> None:
        self._came = False

    def __call__(self, _: int, __: FrameType | None) -> None:
        if self._came:
            os._exit(Interrupted.exit_code)
        self._came = True


def interruption(cause: str, terminal: Terminal) -> Interrupted:
    """The interruption, with what could not be cleaned up, if anything."""
    error = Interrupted(cause)
    if terminal.left_behind:
        error.action = "what was left behind is shown above; you can run the same command again"
    return error


def _check_space() -> None:
    """Before a run exists: where the stack's disk is full neither its record nor its image could be written."""
    from prefect_slipway.flows.cli.builder_address import embedded_stack
    from prefect_slipway.infra.local.disk import check_space

    if (stack := embedded_stack()) is not None:
        check_space(stack.home)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """While modules are imported: to look through what stays until the end takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _public_already(terminal: Terminal) -> ReleaseResult:
    if terminal.result is None or not terminal.is_public:
        raise interruption("the release was interrupted", terminal)
    # Too late: it is public, and running the same command again would release the next version.
    return terminal.result

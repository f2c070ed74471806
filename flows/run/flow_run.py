"""What every flow run does besides its own steps: handle interrupts, trace, and report its outcome."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar, cast

from prefect import get_client
from prefect.artifacts import MarkdownArtifact
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.origin import origin_of_this_run
from prefect_slipway.flows.reporting.report import FailureReport
from prefect_slipway.flows.reporting.rows import describe
from prefect_slipway.flows.reporting.telemetry import traced_run
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.approval import refused
from prefect_slipway.flows.run.interrupts import Interruption, interruptible, named, whatever_comes
from prefect_slipway.flows.server.errors import prefect_cause
from prefect_slipway.infra.domain.errors import ApprovalRefused, InvalidOption, SlipwayError
from prefect_slipway.infra.local.uses import in_use

R = TypeVar("R")

# Do not wait for an unreachable server: the run has failed, and its state says why.
_PATIENCE_S = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class About:
    """What is known of a run from its request. `kind`, `subject`: for its report's key. `title`: of the report if it
    fails early. `facts`: labels and values."""

    kind: str
    subject: str
    title: str
    facts: tuple[tuple[str, str | None], ...] = ()


@dataclass
class _Run:
    """`reported`: whether the story has recorded its own report."""

    started: float = field(default_factory=time.monotonic)
    reported: bool = False


class _Words(logging.Filter):
    """Prefect logs what a task or a run failed with as a traceback: a named cause says all by itself. That a step of
    Slipway's own flows is over, it logs as `Finished in state Completed()`, without the step's name."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], SlipwayError) and not os.environ.get("SLIPWAY_DEBUG"):
            record.exc_info = None
        if record.msg == "Finished in state Completed()" and (step := vars(record).get("task_run_name")) and _ours():
            record.msg = f"{step}: completed"
        return True


def _ours() -> bool:
    """Whether the flow that runs here is one of Slipway's."""
    context = FlowRunContext.get()
    module = context.flow.fn.__module__ if context is not None and context.flow is not None else ""
    return module.partition(".")[0] == __name__.partition(".")[0]


for _logger in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_logger).addFilter(_Words())

_current: ContextVar[_Run | None] = ContextVar("run", default=None)


def _usual(_: object) -> None:
    return None


def _check_text() -> None:
    """Commit messages, file names and what a build prints would be wrong in the image and in the record."""
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        raise InvalidOption(
            f"Python takes file names and text for {encoding} in this process; git and BuildKit have UTF-8",
            action="run it in a UTF-8 locale, or with PYTHONUTF8=1",
        )


async def as_run(
    story: Callable[[], Awaitable[R]],
    about: About,
    summary: Callable[[R], str],
    *,
    name: Callable[[R], str | None] = _usual,
) -> R:
    """Run the body of a flow. `summary`, `name`: of its result, for the run's final state; None for the default name.

    A refused approval ends the run as Refused, an interruption as Cancelled with who did it; but a run of a deployment
    that gets SIGTERM is left to whoever supervises it, who reports it or runs it again. What fails without a report of
    its own gets one. Raises what the story raises.
    """
    run = _Run()
    token = _current.set(run)
    watcher().runs(flow_run.id, flow_run.ui_url)
    try:
        with interruptible() as interruption:
            try:
                _check_text()
                with in_use(os.environ, flow_run.name or about.title), traced_run():
                    result = await story()
            except ApprovalRefused as error:
                return cast(R, refused(error))
            except BaseException as error:
                await whatever_comes(_report(run, about, named(error)))
                if isinstance(error, asyncio.CancelledError) and _ends_by_itself(interruption):
                    # The caller gets the cancellation, so that a flow around this one ends as well.
                    return cast(R, Cancelled(message=interruption.cause().cause, data=error))
                raise
    finally:
        _current.reset(token)
    # Prefect takes a state for the run's end and gives its data to the caller: the UI shows what came of it.
    return cast(R, Completed(name=name(result), message=summary(result), data=result))


def has_report() -> None:
    """Note that the current run has recorded its own report."""
    if (run := _current.get()) is not None:
        run.reported = True


def _ends_by_itself(interruption: Interruption) -> bool:
    if interruption.number is not signal.SIGTERM:
        return interruption.number is not None  # a person's, at the terminal
    context = FlowRunContext.get()
    return context is None or context.flow_run is None or context.flow_run.deployment_id is None


async def _report(run: _Run, about: About, error: BaseException) -> None:
    if not run.reported:
        await report_failure(about, error, time.monotonic() - run.started)


async def report_failure(about: About, error: BaseException, duration_s: float = 0.0) -> None:
    """Record the report of a run that failed early; trouble with that is a warning."""
    try:
        async with asyncio.timeout(_PATIENCE_S), get_client() as client:
            origin = await origin_of_this_run(client)
            report = FailureReport(about.title, about.facts, error, duration_s, origin.links)
            await MarkdownArtifact(
                markdown=report.as_markdown(), key=key_of(about.kind, about.subject), description=about.title
            ).acreate(client)
    except Exception as trouble:
        # The run ends with its own error, not with this one.
        logger.warning("the run's report could not be recorded: %s", describe(prefect_cause(trouble) or trouble))

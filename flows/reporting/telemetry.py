"""OpenTelemetry traces that join BuildKit's steps to the run.

Off unless an OTLP endpoint is named; then the standard variables (OTEL_EXPORTER_OTLP_*, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED ...) say the rest, and the SDK is imported. A provider
that is set already (by `opentelemetry-instrument`) is used.

Prefect makes the spans of flow and task runs wherever there is a provider, unless it is told not to
(PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY=false). So only what it cannot make is made here: the span of a process's
first run, which begins before there is a provider, and those of BuildKit's steps. What ours hold: names, versions,
digests, the names of causes and what the daemon says of a failed step, scrubbed.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.telemetry.run_telemetry import LABELS_TRACEPARENT_KEY

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.infra.buildkit.build.scrub import scrub
from prefect_slipway.infra.common.distribution import VERSION, install_extra
from prefect_slipway.infra.domain.errors import SlipwayError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from prefect_slipway.infra.buildkit.build.events import Step

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_run_span: ContextVar[Span | None] = ContextVar("run_span", default=None)

logger = logging.getLogger(__name__)


@contextmanager
def traced_run() -> Iterator[None]:
    """Within: the span of the current flow run, which is Prefect's own if there is one.

    Prefect makes it before it enters the flow, when nobody has set a provider yet, so the first run of a process has
    ours. It joins the trace in the run's labels, else that of TRACEPARENT in the environment.
    """
    tracer = _tracer()
    context = FlowRunContext.get()
    if tracer is None or context is None or context.flow_run is None:
        yield
        return
    from opentelemetry.trace import get_current_span

    current = get_current_span()
    with nullcontext(current) if current.is_recording() else _run(tracer, context.flow_run) as span:
        logger.info("trace %032x", span.get_span_context().trace_id)
        token = _run_span.set(span)
        try:
            yield
        finally:
            _run_span.reset(token)


@contextmanager
def _run(tracer: Tracer, run: FlowRun) -> Iterator[Span]:
    from opentelemetry.trace import Status, StatusCode

    attributes = {"prefect.run.type": "flow", "prefect.run.id": str(run.id), "prefect.run.name": run.name}
    with tracer.start_as_current_span(
        run.name,
        _callers_trace(run),
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        # Under this label the spans of its tasks, and of runs that it starts, find the run's
        # (prefect/telemetry/run_telemetry.py, prefect/deployments/flow_runs.py).
        run.labels[LABELS_TRACEPARENT_KEY] = traceparent() or ""
        try:
            yield span
        except BaseException as error:
            cause = error.name if isinstance(error, SlipwayError) else type(error).__name__
            span.set_attribute("error.type", cause)
            span.set_status(Status(StatusCode.ERROR, cause))
            raise


def trace_build(steps: Iterable[Step]) -> None:
    """A span for each of BuildKit's steps that started, below the current one; times are the daemon's."""
    tracer = _tracer()
    if tracer is None:
        return
    from opentelemetry.trace import Status, StatusCode

    for step in steps:
        if step.started is None:
            continue
        attributes: dict[str, str | bool] = {"buildkit.digest": step.digest, "buildkit.cached": step.cached}
        span = tracer.start_span(scrub(step.name), attributes=attributes, start_time=_nanoseconds(step.started))
        if step.error:
            span.set_status(Status(StatusCode.ERROR, scrub(step.error)))
        # An abandoned step has no end: it ended with the build.
        span.end(_nanoseconds(step.completed) if step.completed is not None else None)


def describe_run(attributes: Mapping[str, str], *, name: str | None = None) -> None:
    """Add attributes to the run's span, and name it, once more is known. No secrets."""
    span = _run_span.get()
    if span is not None:
        span.set_attributes(attributes)
        if name is not None:
            span.update_name(name)


def traceparent() -> str | None:
    """The current span in W3C Trace Context form; None without tracing."""
    if _tracer() is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _callers_trace(run: FlowRun) -> Context | None:
    """None: a trace of its own."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    given = run.labels.get(LABELS_TRACEPARENT_KEY) or os.environ.get("TRACEPARENT")
    if not given:
        return None
    carrier = {"traceparent": str(given), "tracestate": os.environ.get("TRACESTATE", "")}
    return TraceContextTextMapPropagator().extract(carrier)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


@functools.cache
def _tracer() -> Tracer | None:
    """The tracer, made once a process; None where traces are off. What was not sent is sent at the process's end."""
    if not _wanted(os.environ):
        return None
    from opentelemetry import trace

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        try:
            _set_provider()
        except ImportError:
            message = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but traces need the telemetry extra"
            action = install_extra("telemetry")
            logger.warning("%s; %s", message, action)
            watcher().say(f"warning: {message}; {action}")
            return None
    return trace.get_tracer("slipway", VERSION)


def _wanted(env: Mapping[str, str]) -> bool:
    if not any(env.get(name) for name in _ENDPOINTS) or env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if "otlp" not in env.get("OTEL_TRACES_EXPORTER", "otlp").split(","):
        return False
    protocol = next((env[name] for name in reversed(_PROTOCOLS) if env.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        message = f"no traces: Slipway sends them by http/protobuf, not by {protocol}"
        logger.warning("%s", message)
        watcher().say(f"warning: {message}")
        return False
    return True


def _set_provider() -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource({"service.name": "slipway", "service.version": VERSION})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    # Failures to send only show at the process's end, when no run can log them and the command line has turned
    # Prefect's console off.
    exporter = logging.getLogger("opentelemetry")
    exporter.addHandler(logging.StreamHandler())
    exporter.propagate = False

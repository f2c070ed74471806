"""OpenTelemetry traces: a span for a run, one for each try of a step, one for each of BuildKit's steps.

Off unless an OTLP endpoint is named; then the standard variables (OTEL_EXPORTER_OTLP_*, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED ...) say the rest, and the SDK is imported. A provider
that is set already (by `opentelemetry-instrument`) is used. Where Prefect traces its runs by itself
(PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY) run and steps have its spans, and BuildKit's steps are added to them.

Attributes hold names, versions, digests and the names of causes: no parameters and no exception's text.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING

from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import get_current_settings

from flows.domain.errors import SlipwayError
from flows.watch import watcher
from infra.buildkit.scrub import scrub

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from infra.buildkit.events import Step

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
# Under this label a flow run carries the trace it belongs to (prefect/telemetry/run_telemetry.py).
_LABEL = "__OTEL_TRACEPARENT"

_run_span: ContextVar[Span | None] = ContextVar("run_span", default=None)

logger = logging.getLogger(__name__)


@contextmanager
def traced_run() -> Iterator[None]:
    """Within: the span of the flow run that is running here. It joins the trace of the run that started it in this
    process, else the one in the run's labels, else that of TRACEPARENT in the environment.
    """
    tracer = _tracer()
    context = FlowRunContext.get()
    if tracer is None or context is None or context.flow_run is None or _prefect_traces():
        yield
        return
    run = context.flow_run
    name = context.flow.name if context.flow is not None else "run"
    attributes = {"prefect.run.id": str(run.id), "prefect.run.type": "flow", "prefect.flow.name": name}
    with _span(tracer, name, attributes, _callers_trace(run.labels)) as span:
        logger.info("trace %032x", span.get_span_context().trace_id)
        # Runs of deployments that this one starts join it by this label (prefect/deployments/flow_runs.py).
        run.labels[_LABEL] = traceparent() or ""
        token = _run_span.set(span)
        try:
            yield
        finally:
            _run_span.reset(token)


@contextmanager
def traced_step(name: str) -> Iterator[None]:
    """Within: the span of one try of a step."""
    tracer = _tracer()
    if tracer is None or _prefect_traces():
        yield
        return
    context = TaskRunContext.get()
    attributes: dict[str, str | int] = {"prefect.run.type": "task"}
    if context is not None:
        attributes |= {"prefect.run.id": str(context.task_run.id), "slipway.try": context.task_run.run_count}
    with _span(tracer, name, attributes):
        yield


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
        # A step that was given up has no end of its own: it ended with the build.
        span.end(_nanoseconds(step.completed) if step.completed is not None else None)


def describe_run(attributes: Mapping[str, str]) -> None:
    """Add attributes to the run's span, once they are known. No secrets."""
    span = _run_span.get()
    if span is not None:
        span.set_attributes(attributes)


def traceparent() -> str | None:
    """The current span, as W3C Trace Context writes it; None where nothing is traced."""
    if _tracer() is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def _span(
    tracer: Tracer, name: str, attributes: Mapping[str, str | int], context: Context | None = None
) -> Iterator[Span]:
    from opentelemetry.trace import Status, StatusCode

    with tracer.start_as_current_span(
        name, context, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            cause = error.name if isinstance(error, SlipwayError) else type(error).__name__
            span.set_attribute("error.type", cause)
            span.set_status(Status(StatusCode.ERROR, cause))
            raise


def _callers_trace(labels: Mapping[str, object]) -> Context | None:
    """None: the current span's, or a trace of its own."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if get_current_span().get_span_context().is_valid:
        return None
    given = labels.get(_LABEL) or os.environ.get("TRACEPARENT")
    if not given:
        return None
    carrier = {"traceparent": str(given), "tracestate": os.environ.get("TRACESTATE", "")}
    return TraceContextTextMapPropagator().extract(carrier)


def _prefect_traces() -> bool:
    return get_current_settings().cloud.enable_orchestration_telemetry


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
            message = "traces are asked for by OTEL_EXPORTER_OTLP_ENDPOINT, but cannot be made: the extra is missing"
            action = "pip install 'slipway[telemetry]'"
            logger.warning("%s; %s", message, action)
            watcher().say(f"warning: {message}; {action}")
            return None
    return trace.get_tracer("slipway", version("slipway"))


def _wanted(env: Mapping[str, str]) -> bool:
    if not any(env.get(name) for name in _ENDPOINTS) or env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if "otlp" not in env.get("OTEL_TRACES_EXPORTER", "otlp").split(","):
        return False
    protocol = next((env[name] for name in reversed(_PROTOCOLS) if env.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        message = f"no traces: they are sent by http/protobuf, not by {protocol}"
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

    ours = Resource({"service.name": "slipway", "service.version": version("slipway")})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

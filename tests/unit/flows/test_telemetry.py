"""Traces are off unless they are asked for, and say why they cannot be made."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from prefect_slipway.flows.reporting import telemetry
from prefect_slipway.flows.reporting.watch import Nobody, watching

OFF = """
import sys
from prefect_slipway.flows import release
from prefect_slipway.flows.reporting import telemetry
with telemetry.traced_run():
    telemetry.trace_build([])
    assert telemetry.traceparent() is None
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""


class Heard(Nobody):
    """What a terminal would show."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tracer is made once a process."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    telemetry._tracer.cache_clear()
    yield
    telemetry._tracer.cache_clear()


def test_nothing_is_imported_while_traces_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not trace pays nothing for it."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    subprocess.run([sys.executable, "-c", OFF], check=True)


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_TRACES_EXPORTER", "x")]
)
def test_the_standard_variables_turn_traces_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """An endpoint is named for a whole fleet; one service may still be silent."""
    monkeypatch.setenv(name, value)
    assert telemetry.traceparent() is None


def test_a_missing_extra_is_said_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a process, with the command that mends it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    heard = Heard()
    with watching(heard), telemetry.traced_run():
        assert telemetry.traceparent() is None
        telemetry.trace_build([])
    assert len(heard.said) == 1
    assert "pip install 'prefect-slipway[telemetry]'" in heard.said[0]


def test_another_protocol_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent by HTTP alone."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    heard = Heard()
    with watching(heard):
        assert telemetry.traceparent() is None
    assert heard.said == ["warning: no traces: Slipway sends them by http/protobuf, not by grpc"]

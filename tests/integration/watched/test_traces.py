"""Traces as a real collector gets them: the tree of a run down to BuildKit's steps, of a success and of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.conftest import RunningStack
from tests.integration.watched.collector import Collector, attributes, collecting
from tests.ports import free_port
from tests.releases import DOCKERFILE, complaint, make_source, registry_login, result_of, run_line
from tests.warm import WarmStarter

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STEPS = {"provision builder", "fetch source", "read credentials", "plan version", "verify", "tag", "record", "clean up"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def test_a_release_is_a_tree_from_the_caller_to_buildkits_steps(
    commands: WarmStarter, collector: Collector, tmp_path: Path
) -> None:
    """The run joins its caller's trace, its steps are below it, and BuildKit's are below the build."""
    source = make_source(tmp_path / "traced")
    commands.run("release", source)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "TRACEPARENT": f"00-{TRACE}-{CALLER}-01"}
    result = result_of(commands.run("release", source, "--format", "json", env=env))

    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert collector.services == {"slipway"}
    run = collector.named("release traced 0.2.0")
    assert run.parent_span_id.hex() == CALLER
    said = attributes(run)
    assert said["prefect.run.id"] == result["flow_run_id"]
    assert (said["slipway.image"], said["slipway.version"]) == (result["image"], "0.2.0")
    assert said["slipway.digest"] == result["digest"]
    steps = collector.below(run)
    assert {span.name for span in steps} >= {*STEPS, "build and push"}
    assert all(run.start_time_unix_nano <= s.start_time_unix_nano <= s.end_time_unix_nano for s in steps)

    built = collector.below(collector.named("build and push"))
    cached = {span.name: attributes(span)["buildkit.cached"] for span in built}
    assert cached["[1/2] COPY busybox /bin/busybox"] is True
    assert cached["exporting to image"] is False
    assert all(0 < s.start_time_unix_nano <= s.end_time_unix_nano for s in built)
    assert not [span.name for span in collector.spans if span.status.code == Status.STATUS_CODE_ERROR]


def test_a_failed_release_shows_where_it_failed_and_no_secret(
    commands: WarmStarter, collector: Collector, tmp_path: Path, stack: RunningStack
) -> None:
    """BuildKit's step, the build and the run are errors, the run with the cause's name; the rest is not."""
    command = "echo the reason; exit 7"
    source = make_source(tmp_path / "untraced", DOCKERFILE + run_line(command))
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "releases"}
    assert "exit code 7" in complaint(commands.run("release", source, env=env))

    assert collector.services == {"releases"}
    failed = [span for span in collector.spans if span.status.code == Status.STATUS_CODE_ERROR]
    run, build = collector.named("release untraced 0.1.0"), collector.named("build and push")
    assert run.parent_span_id == b""
    assert attributes(run)["error.type"] == run.status.message == "StepFailed"
    (step,) = [span for span in collector.below(build) if span in failed]
    assert command in step.name
    assert "exit code: 7" in step.status.message
    assert len(failed) == 3
    user, password = registry_login(stack.connection)
    assert user.encode() not in collector.raw
    assert password.encode() not in collector.raw


def test_a_collector_that_is_away_fails_no_release(commands: WarmStarter, tmp_path: Path) -> None:
    """What was released is released; that its trace is lost is said."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    ended = commands.run("release", make_source(tmp_path / "alone"), "--format", "json", env=env)
    assert result_of(ended)["released"]
    assert "Failed to export" in ended.stderr

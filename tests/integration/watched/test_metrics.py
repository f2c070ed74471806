"""The exporter, scraped after real releases: each is counted once, whatever restarts meanwhile."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import patient
from tests.conftest import Run, RunningStack
from tests.ports import free_port
from tests.prefect_server import PrefectServer
from tests.releases import DOCKERFILE, complaint, make_source, result_of, run_line
from tests.warm import Command, WarmStarter

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Exporter:
    """`slipway metrics` in a process of its own."""

    def __init__(self, commands: WarmStarter, state: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._command: Command = commands.start(
            "metrics", "--listen", self.address, "--interval", "0.3", "--state", state
        )
        self._command.until("serving")

    def until(self, name: str, value: float, **labels: str) -> None:
        """Wait until a sample has this value: the server files an event some seconds after it happened."""
        PrefectServer.until(lambda: self.value(name, **labels) == value)

    def value(self, name: str, **labels: str) -> float:
        """A sample; 0 for one that is not there."""
        return self.samples().get((name, frozenset(labels.items())), 0.0)

    def samples(self) -> Samples:
        text = patient.get(f"http://{self.address}/metrics").text
        families = text_string_to_metric_families(text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def end(self) -> None:
        self._command.signal(signal.SIGTERM)
        ended = self._command.end()
        assert ended.code == 0, ended.stderr


def test_releases_are_counted_once_across_restarts(
    commands: WarmStarter, slipway: Run, stack: RunningStack, tmp_path: Path
) -> None:
    """Released and failed, by image, cause and step; a restart of the server and one of the exporter change nothing."""
    good, bad = make_source(tmp_path / "counted"), make_source(tmp_path / "broken", DOCKERFILE + run_line("exit 3"))
    state = tmp_path / "state.json"
    exporter = Exporter(commands, state)
    result = result_of(commands.run("release", good, "--format", "json"))
    complaint(commands.run("release", bad))
    image, broken = result["image"], result["image"].replace("counted", "broken")
    exporter.until("slipway_releases_total", 1, image=image, outcome="released")
    exporter.until("slipway_releases_total", 1, image=broken, outcome="failed")
    assert exporter.value("slipway_release_failures_total", cause="StepFailed") == 1
    assert exporter.value("slipway_release_duration_seconds_count", outcome="released") == 1
    built = exporter.value("slipway_step_duration_seconds_sum", step="build and push")
    assert 0 < built < exporter.value("slipway_release_duration_seconds_sum", outcome="released") + 60
    assert exporter.value("slipway_step_duration_seconds_count", step="tag") == 1
    steps = sum(exporter.value("slipway_build_steps_total", cached=cached) for cached in ("true", "false"))
    assert steps == result["steps"]

    pid = next(part["pid"] for part in _status(slipway) if part["name"] == "prefect")
    psutil.Process(pid).kill()
    exporter.until("slipway_prefect_up", 0)
    assert slipway("up").returncode == 0
    exporter.until("slipway_prefect_up", 1)
    result_of(commands.run("release", good, "--format", "json"))
    exporter.until("slipway_releases_total", 2, image=image, outcome="released")
    assert exporter.value("slipway_releases_total", image=broken, outcome="failed") == 1
    exporter.end()

    # What happens while no exporter runs is counted by the next one, and nothing that was counted before.
    result_of(commands.run("release", good, "--format", "json"))
    exporter = Exporter(commands, state)
    exporter.until("slipway_releases_total", 1, image=image, outcome="released")
    assert exporter.value("slipway_releases_total", image=broken, outcome="failed") == 0
    exporter.end()


def _status(slipway: Run) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads(slipway("status", "--format", "json").stdout)
    return parts


def test_a_taken_port_is_named(commands: WarmStarter, stack: RunningStack) -> None:
    """No traceback, but the address and what to do."""
    port = urlsplit(stack.connection.prefect_api_url).port
    said = complaint(commands.run("metrics", "--listen", f"127.0.0.1:{port}"))
    assert f"cannot listen on 127.0.0.1:{port}" in said


@pytest.mark.parametrize("listen", ["9469", "127.0.0.1:", ":9469", "127.0.0.1:0", "127.0.0.1:x"])
def test_an_address_that_is_none_is_refused(commands: WarmStarter, listen: str) -> None:
    """HOST:PORT, nothing else."""
    ended = commands.run("metrics", "--listen", listen)
    assert ended.code == 2
    assert "is not HOST:PORT" in ended.stderr


def test_a_state_of_another_kind_is_refused(commands: WarmStarter, tmp_path: Path) -> None:
    """Nothing is overwritten that may be somebody's."""
    (tmp_path / "file").write_text("{}")
    ended = commands.run("metrics", "--state", tmp_path / "file")
    assert ended.code == 2
    assert (tmp_path / "file").read_text() == "{}"

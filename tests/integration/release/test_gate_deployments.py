"""Gates that are Prefect deployments: run below the release by whoever serves them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import patient
from tests.conftest import RunningStack
from tests.integration.release import gated
from tests.releases import Traces, make_source, result_of
from tests.waiting import PATIENCE_S, wait_until
from tests.warm import WarmStarter


@pytest.fixture(scope="module")
def served(stack: RunningStack) -> Iterator[str]:
    """A process that runs the deployments; the address of the server's API."""
    api = str(stack.connection.prefect_api_url)
    env = {
        **stack.env,
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(stack.connection.home / "prefect-client"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    program = f"import asyncio, {gated.__name__} as gated; asyncio.run(gated.serve())"
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=env, cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL
    )
    wait_until(lambda: patient.get(f"{api}/deployments/name/smoke/{gated.WAYS[-1]}").status_code == 200)
    yield api
    process.terminate()
    process.wait(PATIENCE_S)


def child(api: str, url: str) -> dict[str, Any]:
    found: dict[str, Any] = patient.get(f"{api}/flow_runs/{url.rpartition('/')[2]}").raise_for_status().json()
    return found


def test_a_deployment_is_asked_as_a_part_of_the_release(
    commands: WarmStarter, traces: Traces, served: str, tmp_path: Path
) -> None:
    """It gets the image by digest, and of the rest what its flow has; its page and artifacts are linked."""
    source = make_source(tmp_path / "app-smoked")
    gates = ("--gate", "deployment:smoke/pass", "--gate", "slow: deployment:smoke/warn")
    result = result_of(commands.run("release", source, *gates, "--format", "json"))
    one, other = result["gates"]
    assert [(each["gate"], each["outcome"]) for each in (one, other)] == [("smoke/pass", "passed"), ("slow", "warned")]
    assert other["why"] == "it is slow"
    run = child(served, one["url"])
    reference = f"{result['image']}@{result['digest']}"
    assert run["parameters"] == {"reference": reference, "version": "0.1.0", "how": "pass"}
    assert run["parent_task_run_id"] is not None
    (artifact,) = one["links"]
    found = patient.get(f"{served}/artifacts/{artifact.rpartition('/')[2]}").raise_for_status().json()
    assert found["data"] == f"tested {reference} of 0.1.0"
    assert one["url"] in traces.report(result["flow_run_id"])


def test_a_run_that_fails_ends_the_release(commands: WarmStarter, traces: Traces, served: str, tmp_path: Path) -> None:
    """With its state as the reason and its page."""
    source = make_source(tmp_path / "app-smoky")
    ended = commands.run("release", source, "--gate", "deployment:smoke/fail", "--format", "json")
    error = json.loads(ended.stdout)["error"]
    assert error["cause"] == "GateFailed"
    assert "it does not answer" in error["message"]
    assert any("/runs/flow-run/" in line for line in error["details"])
    assert traces.tags(source.name) == []


@pytest.mark.parametrize("how", ["interrupted", "timed out"])
def test_a_run_is_cancelled_with_the_release(
    commands: WarmStarter, traces: Traces, served: str, tmp_path: Path, how: str
) -> None:
    """Nobody waits for its answer any longer."""
    source = make_source(tmp_path / f"app-{how.replace(' ', '-')}")
    query = {"flow_runs": {"name": {"like_": ""}}, "deployments": {"name": {"any_": ["wait"]}}}

    def newest() -> dict[str, Any]:
        body = {**query, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
        (found,) = patient.post(f"{served}/flow_runs/filter", json=body).raise_for_status().json()
        run: dict[str, Any] = found
        return run

    # How long a run may take to begin depends on the machine: one whose time is over before that is no proof.
    for seconds in (12, 60, 240) if how == "timed out" else (600,):
        command = commands.start("release", source, "--gate", "deployment:smoke/wait", "--gate-timeout-s", str(seconds))
        command.until("smoke/wait: run ")
        wait_until(lambda: newest()["start_time"] or newest()["state"]["type"] == "CANCELLED")
        if newest()["start_time"]:
            break
        assert command.end().code == 1
    if how == "interrupted":
        command.signal(signal.SIGINT)
    assert command.end().code == (130 if how == "interrupted" else 1)
    wait_until(lambda: newest()["state"]["type"] == "CANCELLED")
    assert traces.tags(source.name) == []

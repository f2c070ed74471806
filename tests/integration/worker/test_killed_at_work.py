"""Kills of worker, flow and server while a release builds: the right end, a safe rerun, nothing left.

All of it happens once, in one go, because a dead run is known only when its heartbeats have been missing for 75 s:
the other kills are tried while that time goes by.
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local.start import noted_daemon
from tests.conftest import SLIPWAY, Run, RunningStack
from tests.integration.worker.conftest import worker
from tests.prefect_server import PrefectServer
from tests.releases import BASE, Traces, digest_of_tag, make_source, registry_login, run_line

# Heartbeats are waited for.
pytestmark = pytest.mark.timeout(420)

DEPLOYMENT = "release/local"


@dataclass
class Case:
    """A release that was disturbed. `ended`: its run's final state; `again`: that of the run after it."""

    source: Path
    mark: str
    run: str = ""
    ended: dict[str, Any] = field(default_factory=dict)
    again: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.source.name

    def processes(self) -> list[psutil.Process]:
        """Of the build's step, which is told by its own text."""
        return [
            p for p in psutil.process_iter(["cmdline"]) if any(self.mark in word for word in p.info["cmdline"] or ())
        ]


@dataclass
class Drill:
    """All cases, and what else was seen. `codes`: how the workers that were told to end ended."""

    cases: dict[str, Case]
    workers: list[psutil.Process] = field(default_factory=list)
    flows: list[psutil.Process] = field(default_factory=list)
    unstarted: dict[str, Any] = field(default_factory=dict)


def case(folder: Path) -> Case:
    mark = uuid.uuid4().hex
    # The shell stays, because it has something to do after the sleep: its text tells the step from all others.
    return Case(make_source(folder / f"app-{mark[:8]}", BASE + run_line(f": {mark}; sleep 4; true")), mark)


def build(server: PrefectServer, case: Case) -> None:
    """Start a release and wait until its step runs in the builder."""
    case.run = server.start(DEPLOYMENT, {"source": str(case.source)})
    server.until(lambda: bool(case.processes()), 120)


@pytest.fixture(scope="module")
def drill(stack: RunningStack, server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """Each kill in its turn, the ones that have to be waited for first."""
    folder = tmp_path_factory.mktemp("drill")
    subprocess.run([SLIPWAY, "deploy-flows", "--pool", "slipway"], env=dict(stack.env), check=True, capture_output=True)
    names = ("worker and flow", "flow", "worker", "worker told to end", "server")
    seen = Drill({name: case(folder) for name in names})
    log = folder / "worker"

    def at_work(name: str, process: psutil.Process) -> psutil.Process:
        build(server, seen.cases[name])
        (flow,) = process.children()
        seen.workers.append(process)
        seen.flows.append(flow)
        return flow

    with worker(stack.env, log) as process:
        flow = at_work("worker and flow", process)
        process.kill()
        flow.kill()
    # What a worker leaves that dies before it has started a run's process.
    unstarted = server.start(DEPLOYMENT, {"source": "/nowhere"})
    server.ask("POST", f"/flow_runs/{unstarted}/set_state", {"state": {"type": "PENDING"}})

    with worker(stack.env, log) as process:
        flow = at_work("flow", process)
        flow.kill()
        seen.cases["flow"].ended = server.end(seen.cases["flow"].run)
        at_work("worker", process)
        process.kill()
        seen.cases["worker"].ended = server.end(seen.cases["worker"].run)

    with worker(stack.env, log) as process:
        at_work("worker told to end", process)
        process.send_signal(signal.SIGTERM)
        psutil.wait_procs([process], timeout=60)
        seen.cases["worker told to end"].ended = server.state(seen.cases["worker told to end"].run)

    with worker(stack.env, log, "--limit", "3") as process:
        at_work("server", process)
        prefect = noted_daemon(stack.connection.home, "prefect").process()
        assert prefect is not None
        os.kill(prefect.pid, signal.SIGKILL)
        subprocess.run([SLIPWAY, "up", "--quiet"], env=dict(stack.env), check=True, capture_output=True, timeout=200)
        seen.cases["server"].ended = server.end(seen.cases["server"].run)

        seen.unstarted = server.end(unstarted)
        seen.cases["worker and flow"].ended = server.end(seen.cases["worker and flow"].run)
        again = {
            name: server.start(DEPLOYMENT, {"source": str(one.source), "version": "0.1.0"})
            for name, one in seen.cases.items()
        }
        for name, run in again.items():
            seen.cases[name].again = server.end(run)
    yield seen


CRASHED = ["worker and flow", "flow", "worker told to end"]
FINISHED = ["worker", "server"]


@pytest.mark.parametrize("name", CRASHED)
def test_a_dead_run_is_crashed(drill: Drill, name: str) -> None:
    """Whoever is left reports it: the worker, the flow itself, or the automation on missing heartbeats."""
    assert drill.cases[name].ended["type"] == "CRASHED", drill.cases[name].ended
    assert ("No heartbeat" in drill.cases[name].ended["message"]) == (name == "worker and flow")


@pytest.mark.parametrize("name", FINISHED)
def test_a_run_goes_on_without_its_worker_and_without_the_server(drill: Drill, name: str) -> None:
    """The release is finished, and its state is known once the server answers again."""
    assert drill.cases[name].ended["type"] == "COMPLETED", drill.cases[name].ended
    assert drill.cases[name].ended["message"].endswith("0.1.0 released")


def test_a_run_that_never_started_is_crashed(drill: Drill) -> None:
    """Its worker had taken it and died."""
    assert drill.unstarted["type"] == "CRASHED", drill.unstarted
    assert "did not start" in drill.unstarted["message"]


@pytest.mark.parametrize("name", [*CRASHED, *FINISHED])
def test_run_again_it_is_released_once(drill: Drill, stack: RunningStack, traces: Traces, name: str) -> None:
    """The same version once more is a success, and there is one image with one tag."""
    one = drill.cases[name]
    assert one.again["type"] == "COMPLETED", one.again
    assert traces.tags(one.name) == ["0.1.0"]
    registry = str(stack.connection.registry)
    assert digest_of_tag(registry, one.name, "0.1.0", registry_login(stack.connection))


def test_nothing_is_left(drill: Drill, traces: Traces) -> None:
    """No worker, no flow, no step in the builder, no reservation, no fetched source, no image in its store."""
    assert not [p for p in (*drill.workers, *drill.flows) if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not [p for one in drill.cases.values() for p in one.processes()]
    traces.assert_nothing_left()


def test_a_worker_without_a_pool_says_so(slipway: Run) -> None:
    """A pool that Slipway does not ship is not made up."""
    done = slipway("worker", "--pool", "no-such-pool", timeout=60)
    assert done.returncode == 2
    assert "there is no work pool 'no-such-pool'" in done.stderr
    assert "Traceback" not in done.stderr

"""Kills of worker, flow and server at each step of a release: the right end, a safe rerun, one release, nothing left.

All of it happens once, in one go, because a dead run is known only when its heartbeats have been missing for 105 s: the
other kills are tried, and the server is away for most of a minute, while that time goes by.

Proved elsewhere, and not again here: kills at each step without a worker, for directories and their ledger as well, and
between the registry's tag and git's (integration/once/test_killed.py); SIGTERM at each step (once/test_interrupted.py);
kills after each write to a cluster, from which builder, Secret and all else go with the run's Lease
(kubernetes/contract.py, on the Kubernetes in this process and on a real one), and of a deploy at each step
(integration/deploy/test_killed.py); runs, worker and server as pods (cluster/test_install.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from prefect_slipway.infra.local.start import noted_daemon
from tests.conftest import SLIPWAY, Run, RunningStack
from tests.git_repository import git
from tests.git_server import serve_git
from tests.integration.worker.cases import (
    BUILDING,
    DEPLOYMENT,
    MOMENTS,
    Case,
    all_reached,
    make_case,
    start_all,
    worker_environment,
)
from tests.integration.worker.conftest import worker
from tests.prefect_server import PrefectServer
from tests.releases import Traces, digest_of_tag, registry_login, result_of
from tests.waiting import PATIENCE_S
from tests.warm import WarmStarter

# Heartbeats are waited for.
pytestmark = pytest.mark.timeout(1800)

# Heartbeats are missing alike whatever a run was doing; what differs is what it leaves for the next one.
_NOBODY_SAW = ("fetched", "waiting for an approval", BUILDING, "tagged")

# With the time it takes to start, the server is away for less than a minute.
_AWAY_S = 45.0


@dataclass
class Drill:
    """All cases, and what else was seen.

    `both`: worker and flow were killed, and the release was asked for once more. `flow`: the flow alone was killed, and
    its run was retried; that stood at the same moment when the server was killed, and went on while it was away.
    `worker`: the worker alone was killed. `told`: the worker was told to end. `temporary`: where all of them had their
    temporary files.
    """

    both: dict[str, Case]
    flow: dict[str, Case]
    worker: Case
    told: Case
    temporary: Path
    processes: list[psutil.Process] = field(default_factory=list)
    unstarted: dict[str, Any] = field(default_factory=dict)

    @property
    def cases(self) -> list[Case]:
        return [*self.both.values(), *self.flow.values(), self.worker, self.told]

    def kill(self, cases: list[Case]) -> None:
        for case in cases:
            process = case.process()
            self.processes.append(process)
            process.kill()


@pytest.fixture(scope="module")
def drill(
    stack: RunningStack, server: PrefectServer, commands: WarmStarter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drill]:
    """Each kill in its turn. The server is killed right after those whose end nobody reports: what it does when their
    time is over, which is after it has come back, must not be lost with it."""
    folder = tmp_path_factory.mktemp("drill")
    subprocess.run([SLIPWAY, "deploy-flows", "--pool", "slipway"], env=dict(stack.env), check=True, capture_output=True)
    env = worker_environment(dict(stack.env), folder)
    (folder / "served").mkdir()
    with serve_git(folder / "served") as served:
        seen = Drill(
            {moment: make_case(moment, folder / "both", served) for moment in _NOBODY_SAW},
            {moment: make_case(moment, folder / "flow", served) for moment in MOMENTS},
            make_case(BUILDING, folder / "worker", served),
            make_case(BUILDING, folder / "told", served),
            folder / "tmp",
        )
        # What a worker leaves that dies before it has started a run's process.
        unstarted = server.start(DEPLOYMENT, {"source": "/nowhere"})
        server.ask("POST", f"/flow_runs/{unstarted}/set_state", {"state": {"type": "PENDING"}})

        again = list(seen.flow.values())
        # With these it is full, so that the other worker takes the others.
        with worker(env, folder / "second", "--limit", str(len(again))) as second:
            start_all(again, server)
            seen.kill(again)
            for case in again:
                case.ended = server.end(case.run)
            # Prefect's worker reports each of them twice; the second time would undo a retry that came in between.
            reported = "flow_runs.worker - Check whether the flow run exceeded"
            server.until(lambda: (folder / "second").read_text().count(reported) == len(again))
            start_all(again, server, retry=True)
            seen.processes += [case.process() for case in again]
            with worker(env, folder / "first", "--limit", str(len(seen.both) + 1)) as first:
                start_all([*seen.both.values(), seen.worker], server)
                seen.unstarted = server.end(unstarted)
                first.kill()
                seen.kill(list(seen.both.values()))
            _restart(stack, again)
            _approve(commands, server, seen.flow["waiting for an approval"])
            seen.worker.go()
            for case in again:
                case.again = server.end(case.run)
            seen.worker.ended = server.end(seen.worker.run)

            start_all([seen.told], server)
            second.send_signal(signal.SIGTERM)
            psutil.wait_procs([second], timeout=PATIENCE_S)
            seen.told.ended = server.state(seen.told.run)

        building = [seen.both[BUILDING], seen.told]
        server.until(lambda: not any(case.steps() for case in building))
        asked = {}
        for case in (*seen.both.values(), seen.worker, seen.told):
            case.ended = case.ended or server.end(case.run)
            # Whoever asks once more for what is released already gets the next version, unless the version is named.
            named = ("--version", "0.1.0") if case is seen.worker else ()
            asked[case.run] = commands.start("release", case.source, *named, "--format", "json")
        server.until(partial(all_reached, building))
        for case in building:
            case.go()
        for case in (*seen.both.values(), seen.worker, seen.told):
            case.again = result_of(asked[case.run].end())
        yield seen


def _restart(stack: RunningStack, at_work: list[Case]) -> None:
    """Kill the server, let the runs go on, and start it again after a while."""
    prefect = noted_daemon(stack.connection.home, "prefect").process()
    assert prefect is not None
    os.kill(prefect.pid, signal.SIGKILL)
    for case in at_work:
        case.go()
    time.sleep(_AWAY_S)
    subprocess.run([SLIPWAY, "up", "--quiet"], env=dict(stack.env), check=True, capture_output=True, timeout=PATIENCE_S)


def _approve(commands: WarmStarter, server: PrefectServer, case: Case) -> None:
    """As often as it says to run it again: a server on SQLite that catches up with ten runs answers 503 for minutes."""
    server.until(lambda: commands.run("approve", case.run).code == 0)


@pytest.mark.parametrize("moment", _NOBODY_SAW)
def test_a_run_that_nobody_saw_die_is_crashed(drill: Drill, moment: str) -> None:
    """Worker and flow are dead: the automation on missing heartbeats says so."""
    ended = drill.both[moment].ended
    assert ended["type"] == "CRASHED", ended
    assert ended["message"].startswith("No heartbeat"), ended


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_flow_is_crashed_at_once(drill: Drill, moment: str) -> None:
    """Its worker says so."""
    ended = drill.flow[moment].ended
    assert ended["type"] == "CRASHED", ended
    assert "No heartbeat" not in ended["message"], ended


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_lives_through_a_restart_of_the_server(drill: Drill, server: PrefectServer, moment: str) -> None:
    """Also one that is a retry: it is finished, never taken for dead, and its end known once the server answers."""
    case = drill.flow[moment]
    assert case.again["type"] == "COMPLETED", case.again
    assert case.again["message"].endswith("0.1.0 released")
    assert server.states_of(case.run).count("Crashed") == 1


def test_a_run_goes_on_without_its_worker(drill: Drill) -> None:
    """It needs it for nothing."""
    assert drill.worker.ended["type"] == "COMPLETED", drill.worker.ended
    assert drill.worker.ended["message"].endswith("0.1.0 released")


def test_a_worker_that_is_told_to_end_reports_its_runs(drill: Drill) -> None:
    """The flow is interrupted, and its end known, before the worker goes."""
    assert drill.told.ended["type"] == "CRASHED", drill.told.ended
    assert "No heartbeat" not in drill.told.ended["message"]


def test_a_run_that_never_started_is_crashed(drill: Drill) -> None:
    """Its worker had taken it and died."""
    assert drill.unstarted["type"] == "CRASHED", drill.unstarted
    assert "did not start" in drill.unstarted["message"]


def test_all_is_released_once(drill: Drill, stack: RunningStack, traces: Traces) -> None:
    """Whatever was killed, and however it was run again: one commit, one version; registry and git name the same."""
    registry, login = str(stack.connection.registry), registry_login(stack.connection)
    for case in drill.cases:
        assert traces.tags(case.name) == ["0.1.0"], case.moment
        refs = git(case.repository, "for-each-ref", "--format=%(refname)").split()
        assert refs == ["refs/heads/main", "refs/tags/v0.1.0"], case.moment
        assert git(case.repository, "rev-parse", "v0.1.0^{commit}") == git(case.repository, "rev-parse", "main")
        if "digest" in case.again:
            assert case.again["digest"] == digest_of_tag(registry, case.name, "0.1.0", login), case.moment


def test_nothing_is_left(drill: Drill, traces: Traces) -> None:
    """No worker, no flow, no step in the builder, no temporary file, no reservation, no fetched source, no image in the
    builder's store."""
    assert not [p for p in drill.processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not [p for case in drill.cases for p in case.steps()]
    assert list(drill.temporary.iterdir()) == []
    traces.assert_nothing_left()


def test_a_worker_without_a_pool_says_so(slipway: Run) -> None:
    """A pool that Slipway does not ship is not made up."""
    done = slipway("worker", "--pool", "no-such-pool")
    assert done.returncode == 2
    assert "there is no work pool 'no-such-pool'" in done.stderr
    assert "Traceback" not in done.stderr

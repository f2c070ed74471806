"""Cases on an embedded stack with one worker as it comes: from a push to the build, and many releases in a queue."""

from __future__ import annotations

import statistics
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import yaml

from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.stack import Stack
from tests.bench.measure import Row
from tests.conftest import SLIPWAY, run_slipway, stack_home
from tests.prefect_server import FINAL, PrefectServer
from tests.releases import BASE, Traces, make_source, run_line

_POLL_S = 0.02
_QUEUED_FOR_EACH_RUN = 10
_LONGEST_S = 3600.0


class Workers:
    """`folder`: where sources are made."""

    def __init__(self, folder: Path, connection: StackConnection, env: Mapping[str, str], runs: int) -> None:
        self._folder = folder
        self._env = env
        self._runs = runs
        self._server = PrefectServer(connection.prefect_api_url)
        self._traces = Traces(connection)

    def push_to_build(self) -> Row:
        """From the event of a push, as the relay emits it, until the first step runs in the builder."""
        source = make_source(self._folder / "pushed")
        self._register("pushed", source)
        taken = []
        for _ in range(self._runs):
            mark = uuid.uuid4().hex
            (source / "Dockerfile").write_text(BASE + run_line(f": {mark}; sleep 1; true"))
            begun = time.monotonic()
            self._push("pushed")
            while not _runs(mark):
                time.sleep(_POLL_S)
            taken.append(time.monotonic() - begun)
            self._wait("pushed", len(taken))
        note = f"seconds, median of {len(taken)}; theirs: the slowest"
        return Row("push to first build step", statistics.median(taken), max(taken), max(taken), 10.0, "s", note)

    def queue(self) -> Row:
        """Many releases of one source asked for at once: each a version of its own, none lost, none twice."""
        count = _QUEUED_FOR_EACH_RUN * self._runs
        source = make_source(self._folder / "queued")
        self._register("queued", source)
        begun = time.monotonic()
        for _ in range(count):
            self._server.start("release/queued", {"source": str(source)})
        runs = self._wait("queued", count)
        taken = time.monotonic() - begun
        ends = Counter(str(run["state_type"]) for run in runs)
        names = Counter(str(run["name"]) for run in runs if run["state_type"] == "COMPLETED")
        twice = sum(times - 1 for times in names.values())
        tags = len(self._traces.tags("queued"))
        note = f"releases lost or twice; {count} asked for, ended {dict(ends)}, {tags} tags, {twice} twice"
        return Row(f"queue of {count}, s and s each", taken, taken / count, abs(count - tags) + twice, 0.0, "", note)

    def _register(self, name: str, source: Path) -> None:
        request = {"source": str(source)}
        trigger = {
            "expect": ["slipway.push"],
            "match": {"prefect.resource.name": name},
            "parameters": {"request": request},
        }
        stanza = {
            "name": name,
            "entrypoint": "prefect_slipway.flows.release.release",
            "work_pool": {"name": "slipway"},
            "tags": ["slipway"],
            "parameters": {"request": request},
            "triggers": [trigger],
        }
        file = self._folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"deployments": [stanza]}))
        subprocess.run(
            [SLIPWAY, "deploy-flows", "--file", file, "--only", "deployments"],
            env=dict(self._env),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        # The server's automations learn of a new one within a moment.
        time.sleep(5.0)

    def _push(self, name: str) -> None:
        event = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": "slipway.push",
            "resource": {"prefect.resource.id": f"slipway.repository/{name}", "prefect.resource.name": name},
            "payload": {},
        }
        self._server.ask("POST", "/events", [event])

    def _wait(self, name: str, count: int) -> list[dict[str, object]]:
        """The deployment's runs, once `count` of them are over."""
        found: list[dict[str, object]] = []

        def over() -> bool:
            found[:] = self._server.runs_of(f"release/{name}")
            return sum(1 for run in found if run["state_type"] in FINAL) >= count

        self._server.until(over, _LONGEST_S)
        return found


def _runs(mark: str) -> bool:
    return any(mark in word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ())


@contextmanager
def workers(folder: Path, runs: int) -> Iterator[Workers]:
    """An embedded stack and a worker with its defaults."""
    with stack_home() as env:
        for command in (["up"], ["deploy-flows", "--pool", "slipway"]):
            done = run_slipway(*command, env=env)
            if done.returncode:
                raise SystemExit(done.stderr)
        worker = subprocess.Popen(
            [SLIPWAY, "worker"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Workers(folder, Stack(StackConfig.from_env(env)).connection(), env, runs)
        finally:
            worker.terminate()
            worker.wait()


CASES = {"push-to-build": Workers.push_to_build, "queue": Workers.queue}
"""By what is typed in CASES."""

"""`release.serve(…)` in a terminal, and Ctrl-C there while a release runs: it reaches the server and the run alike."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import RunningStack
from tests.installed import Installed
from tests.prefect_server import PrefectServer
from tests.releases import BASE, Traces, make_source, run_line
from tests.waiting import PATIENCE_S

SERVE = (
    'from prefect_slipway.flows.release import release\nrelease.serve(name="terminal", print_starting_message=False)\n'
)
# As in a terminal; pytest may have been started with SIGINT ignored.
START = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); runpy.run_path('serve.py')"


@dataclass(frozen=True)
class Served:
    process: subprocess.Popen[bytes]
    log: Path

    def said(self, text: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return text in self.log.read_text()


@pytest.fixture
def served(stack: RunningStack, installed: Installed, tmp_path: Path) -> Iterator[Served]:
    """In a session of its own, as a terminal's foreground is."""
    (tmp_path / "serve.py").write_text(SERVE)
    env = {
        **stack.env,
        "PREFECT_API_URL": stack.connection.prefect_api_url,
        "PREFECT_HOME": str(stack.connection.home / "prefect-client"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installed.python, "-c", START],
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Served(process, log)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.timeout(900)
def test_ctrl_c_where_it_is_served_cancels_the_release(served: Served, traces: Traces, tmp_path: Path) -> None:
    """Twice, and still the run cleans up, and is Cancelled with who did it."""
    server = PrefectServer(traces.connection.prefect_api_url)
    line = run_line(f"echo $((6*7)) now {uuid.uuid4().hex}; exec sleep 300")
    source = make_source(tmp_path / f"app-{uuid.uuid4().hex[:8]}", BASE + line)
    server.until(lambda: bool(server.deployments("release/terminal")))
    run = server.start("release/terminal", {"source": str(source)})
    server.until(lambda: served.said("42 now"))
    for _ in range(2):
        os.killpg(served.process.pid, signal.SIGINT)
    ended = server.end(run, 300.0)
    assert (ended["type"], "(Ctrl-C)" in ended["message"]) == ("CANCELLED", True), ended
    traces.assert_nothing_left()
    assert traces.tags(source.name) == []

"""Workers as people run them: `slipway worker` in a process of its own, on the session's stack."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import SLIPWAY, Run, RunningStack
from tests.prefect_server import PrefectServer
from tests.waiting import PATIENCE_S


@contextmanager
def worker(env: Mapping[str, str], log: Path, *options: str) -> Iterator[psutil.Process]:
    """A worker that takes runs; at the end it is stopped as a service manager does it, and leaves no process."""
    with log.open("a") as output:
        process = subprocess.Popen(
            [SLIPWAY, "worker", "--poll", "2", "--name", log.stem, *options],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        finally:
            # One that would not end fails this test; left alone, it would fail the next one as well.
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def server(stack: RunningStack) -> PrefectServer:
    return PrefectServer(stack.connection.prefect_api_url)


@pytest.fixture
def registered(slipway: Run) -> None:
    """What Slipway ships for the process pool."""
    done = slipway("deploy-flows", "--pool", "slipway")
    assert done.returncode == 0, done.stderr

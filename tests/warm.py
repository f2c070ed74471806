"""The command line started warm: a process that has imported what a command needs forks for each command.

What runs is `prefect_slipway.flows.cli.main` in a process of its own, as `slipway` does it, without the seconds of
imports. `warm_starter` has imported everything, Prefect as well, which reads its settings then: its commands are all
against one stack. `any_starter` has imported other people's libraries alone, for commands in any environment.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.waiting import PATIENCE_S

_MESSAGE_BYTES = 100_000

# What commands import when they run, and what that imports: seconds of work for each process.
_WARM = ("release", "promote", "rollback", "check_bases", "sweep", "cli.options", "cli.run_flow", "cli.release_display")
# What is imported in the middle of a run, by Prefect and where start-up counts: a tenth of a release's work.
_IN_A_RUN = (
    *("fastapi.encoders", "prefect.flow_engine", "prefect.task_engine", "prefect.utilities.visualization"),
    *("anyio._backends._asyncio", "cryptography.hazmat.backends.openssl.backend", "hvac"),
    "prefect_slipway.infra.vault.http",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended. `code`: negative for a signal, as subprocess has it."""

    code: int
    stdout: str
    stderr: str


class Command:
    """A command that runs, the leader of its own process group."""

    def __init__(self, pid: int, stdout: IO[str], stderr: IO[str], status: IO[str]) -> None:
        self.pid = pid
        self._status = status
        self._news = threading.Condition()
        self._lines = io.StringIO()
        self._result = ""
        self._readers = [
            threading.Thread(target=self._read_result, args=(stdout,)),
            threading.Thread(target=self._read_news, args=(stderr,)),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def _said(self) -> str:
        return self._lines.getvalue()

    def until(self, text: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the command has said `text` on its error output."""
        with self._news:
            self._news.wait_for(lambda: text in self._said or not self._readers[1].is_alive(), timeout_s)
        if text not in self._said:
            with suppress(ProcessLookupError):
                self.kill()
            self.end()
            raise AssertionError(f"it did not say {text!r}:\n{self._said}")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9 of all that belongs to it."""
        os.killpg(self.pid, signal.SIGKILL)

    def end(self, timeout_s: float = PATIENCE_S) -> Ended:
        """Wait for its end."""
        for reader in self._readers:
            reader.join(timeout_s)
            if reader.is_alive():
                self.kill()
                raise TimeoutError(f"the command did not end within {timeout_s} s:\n{self._said}")
        with self._status:
            code = int(self._status.readline())
        return Ended(code, self._result, self._said)

    def _read_result(self, stream: IO[str]) -> None:
        with stream:
            self._result = stream.read()

    def _read_news(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self._lines.write(line)
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()


class WarmStarter:
    """Starts commands; see `warm_starter`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def start(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        alone: bool = False,
    ) -> Command:
        """`slipway ARGUMENTS`, with `env` added to the starter's environment; `alone`: instead of it."""
        pipes = [os.pipe() for _ in range(3)]
        request = {
            "arguments": [str(one) for one in arguments],
            "env": dict(env or {}),
            "cwd": str(cwd or Path.cwd()),
            "alone": alone,
        }
        descriptors = array.array("i", [writing for _, writing in pipes])
        with self._lock:
            self._connection.sendmsg(
                [json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            )
        for _, writing in pipes:
            os.close(writing)
        stdout, stderr, status = (os.fdopen(reading, errors="replace") for reading, _ in pipes)
        return Command(int(status.readline()), stdout, stderr, status)

    def run(self, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ended:
        """The same, to its end."""
        return self.start(*arguments, env=env, cwd=cwd).end()


@contextmanager
def warm_starter(env: Mapping[str, str]) -> Iterator[WarmStarter]:
    """Commands with exactly this environment, against the stack that runs in it."""
    with _starter(env, "stack") as starter:
        yield starter


@contextmanager
def any_starter() -> Iterator[WarmStarter]:
    """Commands in any environment (`alone`)."""
    with _starter(os.environ, "any") as starter:
        yield starter


@contextmanager
def _starter(env: Mapping[str, str], kind: str) -> Iterator[WarmStarter]:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = subprocess.Popen(
        [sys.executable, "-m", __name__, str(there.fileno()), kind],
        env=env,
        cwd=Path(__file__).parent.parent,
        pass_fds=[there.fileno()],
        stdin=subprocess.DEVNULL,
    )
    there.close()
    with here:
        yield WarmStarter(here)
    program.wait(PATIENCE_S)


def _import_all() -> None:
    """For one stack."""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    for module in _WARM:
        importlib.import_module(f"prefect_slipway.flows.{module}")
    for module in _IN_A_RUN:
        importlib.import_module(module)


def _import_libraries() -> None:
    """What those import of others, except Prefect."""
    imports = "; ".join(f"import prefect_slipway.flows.{module}" for module in _WARM)
    listing = [sys.executable, "-c", f"{imports}; import sys; print(*sys.modules)"]
    for module in subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split():
        if not module.startswith(("prefect", "__")):
            with suppress(ImportError):
                importlib.import_module(module)
    assert "prefect" not in sys.modules


def _serve(connection: socket.socket) -> None:
    # What the commands leave is not waited for here.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, ancillary, _, _ = connection.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        if not message:
            return
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        if os.fork() == 0:
            connection.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _attend(json.loads(message), *descriptors)
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _attend(request: dict[str, object], stdout: int, stderr: int, status: int) -> None:
    """Run one command in a child, and report its pid and how it ended."""
    pid = os.fork()
    if pid == 0:
        os.close(status)
        os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(stdout)
        os.close(stderr)
        _command(request)
    os.close(stdout)
    os.close(stderr)
    with suppress(BrokenPipeError):
        os.write(status, f"{pid}\n".encode())
        _, code = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())


def _command(request: dict[str, object]) -> None:
    from prefect_slipway.flows.cli import main

    arguments, env = request["arguments"], request["env"]
    assert isinstance(arguments, list)
    assert isinstance(env, dict)
    os.chdir(str(request["cwd"]))
    if request["alone"]:
        os.environ.clear()
    os.environ.update(env)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = [str(Path(sys.executable).with_name("slipway")), *arguments]
    _exit(main(arguments))


def _exit(code: int) -> None:
    """End as the interpreter does: threads are waited for, and what is registered for the exit runs (Prefect sends its
    last logs then). But do not take apart the modules that the process was forked with: a fifth of a release's work.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    {"stack": _import_all, "any": _import_libraries}[sys.argv[2]]()
    # A child's collections would go through them all, and copy them.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _serve(given)

"""A daemon: started detached, with output in a file, identified by pid *and* start time, stopped with its children."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from prefect_slipway.infra.domain.errors import DaemonFailed, PartMissing, PortTaken

_POLL_S = 0.05

# What a part inherits of the caller's environment. An allow-list: the caller's may hold tokens (VAULT_TOKEN)
# and settings that would turn a part into something else (PREFECT_*, BAO_*, DOCKER_HOST, REGISTRY_*).
_INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)


@dataclass(frozen=True)
class DaemonSpec:
    """How to start a part, and how to check that it serves.

    `ready`: returns True once the part answers; must not raise. `env` is added to the little that is
    inherited of the caller's environment; neither it nor `argv` may hold a secret (both can be read from
    /proc). `directory`: the process's working directory, None for the root directory. `start_timeout_s`:
    seconds until a start that neither fails nor becomes ready is given up. `stop_timeout_s`: seconds between
    SIGTERM and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 15.0


class Daemon:
    """One part's process. All its traces are `run_dir/NAME.pid` and `log_dir/NAME.log`."""

    def __init__(self, spec: DaemonSpec, run_dir: Path, log_dir: Path) -> None:
        self.spec = spec
        self.pid_file = run_dir / f"{spec.name}.pid"
        self.log_file = log_dir / f"{spec.name}.log"

    def process(self) -> psutil.Process | None:
        """The running process, None if there is none (a reused pid does not count)."""
        try:
            noted = json.loads(self.pid_file.read_text(encoding="utf-8"))
            process = psutil.Process(noted["pid"])
            if noted["started"] == _start_mark(process.pid) and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except (OSError, ValueError, KeyError, psutil.Error):
            pass
        return None

    def start(self) -> None:
        """Start it unless it runs, and wait until it is ready.

        Raises PartMissing, or DaemonFailed with the part's last lines.
        """
        if self.process() is not None and self.spec.ready():
            return
        self.stop()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            try:
                # Own session, no inherited descriptor: an inherited stdout keeps a killed flow run "Running".
                child = subprocess.Popen(
                    self.spec.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**_inherited(), **self.spec.env},
                    cwd=self.spec.directory or "/",
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise PartMissing(f"{self.spec.name}: the program {self.spec.argv[0]!r} is not installed") from error
        # The child is not reaped before _wait_ready polls it, so its entry in /proc is still there.
        self.pid_file.write_text(json.dumps({"pid": child.pid, "started": _start_mark(child.pid)}), encoding="utf-8")
        self._wait_ready(child)

    def stop(self) -> bool:
        """Stop the process, its group and whatever it started elsewhere. True if there was one to stop."""
        process = self.process()
        if process is not None:
            family = [process, *_descendants(process)]
            _signal_group(process, signal.SIGTERM)
            psutil.wait_procs([process], timeout=self.spec.stop_timeout_s)
            alive = [member for member in family if member.is_running()]
            for member in alive:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            psutil.wait_procs(alive, timeout=5.0)
        self.pid_file.unlink(missing_ok=True)
        return process is not None

    def last_lines(self, count: int = 15) -> str:
        """The end of the part's log, for error messages."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 16384))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])
        except OSError:
            return ""

    def _wait_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.spec.start_timeout_s
        while True:
            if self.spec.ready():
                # It outlives this process and nobody waits for it here, so Popen need not warn about that.
                child.returncode = 0
                return
            if (status := child.poll()) is not None:
                self.pid_file.unlink(missing_ok=True)
                raise DaemonFailed(
                    f"{self.spec.name} ended while starting (exit status {status})", details=self.last_lines()
                )
            if time.monotonic() > deadline:
                details = self.last_lines()
                self.stop()
                child.poll()
                raise DaemonFailed(
                    f"{self.spec.name} was not ready within {self.spec.start_timeout_s:.0f} s",
                    details=details,
                )
            time.sleep(_POLL_S)


def check_port(part: str, port: int, option: str) -> None:
    """Raise PortTaken if something already listens on the loopback `port`; `option` chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"{part}: port {port} on 127.0.0.1 is in use{_holder(port)}",
                action=f"stop the program that uses the port, or choose another port with {option}",
            ) from error


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})" if connection.pid else ""
    except psutil.Error:
        pass
    return ""


def _inherited() -> dict[str, str]:
    env = {name: os.environ[name] for name in _INHERITED & os.environ.keys()}
    # Where Debian puts dockerd and runc, and what an ordinary user's PATH lacks there.
    return env | {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


def _start_mark(pid: int) -> str:
    """What tells a process from others of the same pid at other times, even if the wall clock is set.

    The boot's id and the start time in clock ticks after it: proc_pid_stat(5), field 22.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    fields_after_name = (
        Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    )
    return f"{boot}/{fields_after_name[19]}"


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _signal_group(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(os.getpgid(process.pid), number)

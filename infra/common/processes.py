"""The owner of a process, to tell leftovers of dead processes from files of living ones."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """A process. `host`: the host, its boot and the pid namespace, outside of which a pid means nothing.

    `started`: clock ticks since that boot, so that a reused pid is not taken for it. (Seconds since the epoch would
    change with the machine's clock.)
    """

    host: str
    pid: int
    started: int


def this_process() -> Owner:
    pid = os.getpid()
    status = _status(pid)
    assert status is not None, "a running process is in /proc"
    return Owner(_host(), pid, status[1])


def is_alive(owner: Owner) -> bool | None:
    """Whether the process runs; None where that cannot be known: on another machine, in another container."""
    if owner.host != _host():
        return None
    status = _status(owner.pid)
    return status is not None and status[1] == owner.started and status[0] != "Z"


def _status(pid: int) -> tuple[str, int] | None:
    """State and start time (proc_pid_stat(5), fields 3 and 22), None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


@cache
def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{socket.gethostname()}/{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"

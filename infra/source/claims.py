"""Who holds a reservation, as it is written into git, and whether that process still lives."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Self

import psutil

from flows.domain.ledger import Claim
from flows.domain.version import Version

_HEADLINE = "A release is under way (Slipway)."


@dataclass(frozen=True, slots=True)
class Owner:
    """A process. `host`: the host, its boot and the pid namespace, outside of which a pid means nothing.

    `started`: seconds since the epoch, so that a reused pid is not taken for it.
    """

    host: str
    pid: int
    started: float


@dataclass(frozen=True, slots=True)
class Note:
    """A reservation's text. `expires`: seconds since the epoch."""

    version: Version
    claim: Claim
    owner: Owner
    expires: float

    @classmethod
    def now(cls, version: Version, claim: Claim, ttl_s: float) -> Self:
        """This process's claim, good for `ttl_s` seconds."""
        return cls(version, claim, this_process(), time.time() + ttl_s)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for a text that is no claim."""
        try:
            values = json.loads(text.partition("\n\n")[2])
            claim = Claim(values["run"], values["fingerprint"], values["digest"])
            owner = Owner(values["host"], int(values["pid"]), float(values["started"]))
            return cls(Version.parse(values["version"]), claim, owner, float(values["expires"]))
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def text(self) -> str:
        values = {"version": str(self.version), **asdict(self.claim), **asdict(self.owner)}
        return f"{_HEADLINE}\n\n{json.dumps({**values, 'expires': self.expires}, indent=1)}\n"

    def is_expired(self) -> bool:
        return time.time() > self.expires


def this_process() -> Owner:
    process = psutil.Process()
    return Owner(_host(), process.pid, process.create_time())


def is_alive(owner: Owner) -> bool | None:
    """Whether the process runs; None where that cannot be known: on another machine, in another container."""
    if owner.host != _host():
        return None
    try:
        process = psutil.Process(owner.pid)
        same = abs(process.create_time() - owner.started) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@cache
def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}/{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"

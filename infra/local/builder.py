"""Which builder the stack uses: a usable Docker engine, a buildkitd on PATH, or a private Docker engine."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from infra.local.daemon import DaemonSpec


@dataclass(frozen=True)
class BuilderChoice:
    """`address` and `network` as in StackConnection; `spec`: how to start it, None if it runs already."""

    address: str
    network: str | None
    spec: DaemonSpec | None


def choose_builder(home: Path) -> BuilderChoice:
    raise NotImplementedError


def builder_answers(address: str) -> bool:
    """Whether something listens at the socket of a builder address."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(address.partition("://")[2])
        except OSError:
            return False
    return True

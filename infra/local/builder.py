"""Which builder the stack uses: a usable Docker engine, a buildkitd on PATH, or a private Docker engine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.infra.domain.errors import StackError
from prefect_slipway.infra.local.daemon import DaemonSpec
from prefect_slipway.infra.local.engine import (
    buildkitd_address,
    buildkitd_daemon,
    engine_address,
    engine_daemon,
    find_buildkitd,
    find_dockerd,
    runtime_folder,
    usable_engine,
)
from prefect_slipway.infra.local.findings import Finding, install
from prefect_slipway.infra.local.userns import user_namespaces

BUILDER = "builder"


@dataclass(frozen=True)
class BuilderChoice:
    """`address` and `network` as in StackConnection; `spec`: how Slipway runs it, None if it is the user's own."""

    address: str
    network: str | None
    spec: DaemonSpec | None


def choose_builder(home: Path, *, private_runs: bool) -> BuilderChoice:
    """The builder for `home`. One that Slipway started and that runs is kept, whatever else came up since.

    Raises StackError when there is no place for its socket.
    """
    found = None if private_runs else usable_engine().address
    if found is not None:
        return BuilderChoice(found, network=None, spec=None)
    buildkitd = find_buildkitd()
    if buildkitd is not None:
        spec = dataclasses.replace(buildkitd_daemon(home, buildkitd), name=BUILDER)
        return BuilderChoice(buildkitd_address(home), network=None, spec=spec)
    # The private engine has no bridge, which would need the machine's firewall to be changed.
    spec = dataclasses.replace(engine_daemon(home), name=BUILDER)
    return BuilderChoice(engine_address(home), network="host", spec=spec)


def builder_answers(address: str) -> bool:
    """Whether something listens at the socket of a builder's address."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(address.partition("://")[2])
        except OSError:
            return False
    return True


def forget_dead_engine(home: Path) -> None:
    """Remove the pid files of an engine that was killed. After a reboot their pids are anybody's, and dockerd
    takes any living process for its own. Raises StackError when no folder is fit for its sockets."""
    for name in ("docker.pid", "exec/containerd/containerd.pid"):
        (runtime_folder(home) / name).unlink(missing_ok=True)


def remove_sockets(home: Path) -> None:
    """Remove the folder of the private engine's sockets, which is not always below `home`."""
    with contextlib.suppress(StackError):  # no folder is fit for them: there are none
        shutil.rmtree(runtime_folder(home), ignore_errors=True)


def examine_builder() -> list[Finding]:
    """The available builders, and whether an ordinary user could run a private one."""
    engine = usable_engine()
    if engine.address is not None:
        return [Finding(BUILDER, f"{engine.reason}, is used")]
    private = find_buildkitd() or find_dockerd()
    if private is None:
        found = f"neither a usable engine ({engine.reason}) nor the program dockerd or buildkitd"
        return [Finding(BUILDER, found, fix=install("docker.io"))]
    finding = Finding(BUILDER, f"{private}, not started")
    return [finding] if os.geteuid() == 0 else [finding, user_namespaces()]

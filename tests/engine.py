"""A private Docker engine for tests: Debian's dockerd as root, without a bridge or firewall rules."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from prefect_slipway.infra.local.daemon import Daemon
from prefect_slipway.infra.local.engine import engine_address, engine_daemon
from tests.waiting import PATIENCE_S


@contextmanager
def private_engine(home: Path) -> Iterator[str]:
    """Run an engine with its state under `home`; gives its address (docker://...) and stops it at the end.

    RUN steps need the network mode `host` or `none`, since there is no bridge.
    """
    daemon = engine(home)
    daemon.start()
    try:
        yield engine_address(home)
    finally:
        daemon.stop()


def engine(home: Path) -> Daemon:
    """The same engine to be started, killed and stopped by hand."""
    return Daemon(engine_daemon(home), home / "run", home / "log")


def kill(daemon: Daemon) -> None:
    """kill -9 of an engine with all that it runs."""
    process = daemon.process()
    assert process is not None, "the engine runs"
    family = [process, *process.children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=PATIENCE_S)


def remove_snapshot(socket: Path, key: str) -> None:
    """Take a snapshot away from the private engine at `socket`, behind its BuildKit's back."""
    containerd = ["ctr", "--address", str(socket.parent / "exec" / "containerd" / "containerd.sock")]
    remove = [*containerd, "--namespace", "moby", "snapshots", "--snapshotter"]
    # The engine of a machine whose disk is an overlay itself has the second one.
    tried = [
        subprocess.run([*remove, name, "rm", key], capture_output=True, text=True, check=False)
        for name in ("overlayfs", "native")
    ]
    assert any(done.returncode == 0 for done in tried), [done.stderr for done in tried]

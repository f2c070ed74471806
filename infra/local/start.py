"""Start the parts of the embedded stack, independent ones at the same time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from prefect_slipway.infra.common.private_files import private_folder
from prefect_slipway.infra.domain.errors import PartMissing, PortTaken
from prefect_slipway.infra.local.builder import (
    BUILDER,
    BuilderChoice,
    choose_builder,
    examine_builder,
    forget_dead_engine,
)
from prefect_slipway.infra.local.daemon import Daemon, DaemonSpec, check_port
from prefect_slipway.infra.local.disk import START_NEEDS, check_space
from prefect_slipway.infra.local.extra import check_packages
from prefect_slipway.infra.local.findings import Finding
from prefect_slipway.infra.local.ports import Ports, last_ports
from prefect_slipway.infra.local.prefect import prefect_spec
from prefect_slipway.infra.local.start_up import ThreadedJobs, raise_all

Progress = Callable[[str], None]
"""Is called with a line to show."""
PartProgress = Callable[[str, float | None], None]
"""Is called with a part's name when it starts, and with the seconds that took when it answers."""


class Start:
    """One start. Its jobs leave alone what runs and answers; `run_all` runs them."""

    def __init__(
        self, home: Path, ports: Ports, prefect_database: str | None, progress: Progress, part: PartProgress
    ) -> None:
        self._home = home
        self._ports = ports
        self._prefect_database = prefect_database
        self._progress = progress
        self._part = part
        self._jobs = ThreadedJobs()
        self._builders: list[BuilderChoice] = []

    def run_all(self, jobs: Iterable[Callable[[], None]]) -> BuilderChoice:
        """Run `jobs`, `builder` among them; returns the builder. Raises the first job's error."""
        for name in ("run", "log"):
            private_folder(self._home / name)
        self._jobs.run(jobs)
        return self._builders[0]

    def check(self, parts: Collection[str]) -> None:
        """Check whether these parts can start, before any of them is started or stopped.

        Raises PartMissing, DiskFull, PortTaken (all that is missing and all taken ports are told).
        """
        if "vault" in parts:
            check_packages()
        raise_all([PartMissing(each.found, action=each.fix) for each in self._examine(parts) if each.fix is not None])
        check_space(self._home, START_NEEDS)
        last, taken = dataclasses.asdict(last_ports(self._home)), []
        for name, port in dataclasses.asdict(self._ports).items():
            holds_it = last[name] == port and noted_daemon(self._home, name).process() is not None
            if name in parts and not holds_it:
                try:
                    _check_port(name, port)
                except PortTaken as error:
                    taken.append(error)
        raise_all(taken)

    def _examine(self, parts: Collection[str]) -> list[Finding]:
        """What the parts that do not run yet need of this machine."""
        from prefect_slipway.infra.local.registry import examine_registry

        stopped = [name for name in parts if noted_daemon(self._home, name).process() is None]
        findings = examine_builder() if BUILDER in stopped else []
        return [*findings, examine_registry()] if "registry" in stopped else findings

    def builder(self) -> None:
        private_runs = noted_daemon(self._home, BUILDER).process() is not None
        choice = choose_builder(self._home, private_runs=private_runs)
        if choice.spec is None:
            self._progress(f"{BUILDER}: your own, {choice.address}")
        else:
            if not private_runs:
                forget_dead_engine(self._home)
            self._start(choice.spec)
        self._builders.append(choice)

    def vault_then_registry(self) -> None:
        """The registry's only user is made when the Vault that keeps its password is set up."""
        # Imported here for the sake of a quick `up` when all runs.
        from prefect_slipway.infra.local.registry import registry_spec
        from prefect_slipway.infra.local.vault import prepare_vault, vault_spec

        self._start(vault_spec(self._home, self._ports.vault), self._ports.vault)
        prepare_vault(self._home, self._ports.vault, f"127.0.0.1:{self._ports.registry}")
        self._start(registry_spec(self._home, self._ports.registry), self._ports.registry)

    def prefect(self) -> None:
        port = self._ports.prefect
        self._start(prefect_spec(self._home, port, self._prefect_database), port)

    def _start(self, spec: DaemonSpec, port: int | None = None) -> None:
        begun = time.monotonic()
        self._part(spec.name, None)
        daemon = _daemon(self._home, self._jobs.interruptible(spec))
        if daemon.process() is None or not spec.ready():
            daemon.stop()
            if port is not None:
                _check_port(spec.name, port)
            daemon.start()
        self._part(spec.name, round(time.monotonic() - begun, 3))


def noted_daemon(home: Path, name: str) -> Daemon:
    """A part of `home` by its name alone: enough to look at it and to stop it."""
    return _daemon(home, DaemonSpec(name, argv=(), ready=lambda: False, stop_timeout_s=30.0))


def _check_port(name: str, port: int) -> None:
    check_port(name, port, f"--{name}-port or SLIPWAY_{name.upper()}_PORT")


def _daemon(home: Path, spec: DaemonSpec) -> Daemon:
    return Daemon(spec, home / "run", home / "log")

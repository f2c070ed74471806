"""The embedded stack as a whole: start missing parts, show what is running, stop what was started."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from prefect_slipway.infra.domain.errors import InvalidOption, StackDown, StackInUse
from prefect_slipway.infra.local.builder import BUILDER, BuilderChoice, builder_answers, remove_sockets
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import STATE_FILE, StackConnection, StackState, read_state, write_state
from prefect_slipway.infra.local.home import migrate
from prefect_slipway.infra.local.leftovers import end_processes, remove_state, unmount_all
from prefect_slipway.infra.local.lock import home_lock
from prefect_slipway.infra.local.ports import last_ports, remember_ports, settle_ports
from prefect_slipway.infra.local.prefect import api_url, ui_url
from prefect_slipway.infra.local.probe import http_status
from prefect_slipway.infra.local.start import PartProgress, Progress, Start, noted_daemon
from prefect_slipway.infra.local.uses import uses

VAULT, REGISTRY, PREFECT = "vault", "registry", "prefect"
PARTS = (BUILDER, VAULT, REGISTRY, PREFECT)


@dataclass(frozen=True)
class PartStatus:
    """One part. `state`: `foreign` is the user's own, used but not started by Slipway, so its pid is not known."""

    name: str
    state: Literal["running", "stopped", "foreign"]
    address: str | None
    pid: int | None
    since: datetime | None
    log: Path | None


class Stack:
    """The embedded stack in `config.home`.

    Own parts instead of embedded ones: with PREFECT_API_URL no Prefect server is started, with VAULT_ADDR
    neither Vault nor registry; a usable Docker engine or a buildkitd is taken instead of a private engine.
    """

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._home = config.home
        self.ports = settle_ports(config)
        self._own_vault = self._unless_embedded(VAULT, config.own_vault_address, self.ports.vault)
        self._own_prefect = self._unless_embedded(PREFECT, config.own_prefect_url, self.ports.prefect)

    @property
    def registry_before(self) -> str:
        """The registry's HOST:PORT at the last start."""
        return f"127.0.0.1:{last_ports(self._home).registry}"

    @property
    def embeds_prefect(self) -> bool:
        """Whether the Prefect server is the embedded one, not the user's own."""
        return self._own_prefect is None

    def up(
        self, progress: Progress = lambda line: None, part: PartProgress = lambda name, seconds: None
    ) -> StackConnection:
        """Start what is missing and return once all of it answers; quick when nothing is missing.

        What started stays if another part fails: the next `up` continues from there, `down` stops it.
        Raises a StackError or Interrupted.
        """
        with home_lock(self._home, progress):
            migrate(self._home)
            self._check_images()
            connection = self._standing()
            if connection is None:
                connection = self._start(progress, part)
            else:
                progress("all parts run")
        return connection

    def connection(self) -> StackConnection:
        """The running stack, with the user's own Prefect and Vault if named. Raises StackDown."""
        state = read_state(self._home)
        embedded = self._embedded(state.private_engine)
        missing = [name for name in embedded if noted_daemon(self._home, name).process() is None]
        if missing:
            some = f"complete: {', '.join(missing)} stopped" if missing != embedded else f"running in {self._home}"
            raise StackDown(f"the embedded stack is not {some}")
        return self._with_own_parts(state.connection)

    def status(self) -> list[PartStatus]:
        """Each part's state, in the order of `PARTS`."""
        addresses: dict[str, str | None] = {
            BUILDER: None,
            VAULT: vault_url(self.ports.vault),
            REGISTRY: self._registry_host,
            PREFECT: ui_url(self.ports.prefect),
        }
        try:
            noted, private_engine = read_state(self._home)
            # What runs may listen elsewhere than the next start would.
            known = (noted.builder, noted.vault_address, noted.registry, noted.prefect_ui_url)
            addresses |= dict(zip(PARTS, known, strict=True))
        except StackDown:
            private_engine = True
        own = {VAULT: self._own_vault, PREFECT: self._own_prefect}
        addresses |= {name: address for name, address in own.items() if address is not None}
        embedded = self._embedded(private_engine)
        return [self._part_status(name, addresses[name], name in embedded) for name in PARTS]

    def down(self, *, purge: bool = False, force: bool = False, progress: Progress = lambda line: None) -> list[str]:
        """Stop all parts that Slipway started and nothing else; returns the names of those that ran.

        `purge` removes all state as well: images, secrets, Prefect's record. `force`: also while runs use the stack.
        Raises StackInUse, StackError.
        """
        if not self._home.exists():
            return []
        with home_lock(self._home, progress):
            if not force and (runs := uses(self._home)):
                raise StackInUse(f"the stack is in use: {', '.join(runs)}")
            names = sorted(path.stem for path in (self._home / "run").glob("*.pid"))
            with ThreadPoolExecutor() as pool:
                were_running = list(pool.map(lambda name: noted_daemon(self._home, name).stop(), names))
            end_processes(self._home)
            unmount_all(self._home)
            (self._home / STATE_FILE).unlink(missing_ok=True)
            if purge:
                remove_sockets(self._home)
                remove_state(self._home)
        return [name for name, was_running in zip(names, were_running, strict=True) if was_running]

    # Starting -----------------------------------------------------------------------------------------------

    def _standing(self) -> StackConnection | None:
        """The connection, if all that is wanted was brought up before, and answers where it is wanted."""
        try:
            state = read_state(self._home)
            embedded = self._embedded(state.private_engine)
            connection = self.connection()
        except StackDown:
            return None
        if state.connection.signing_key is None:
            return None  # an earlier version started it
        health = {
            VAULT: (self.ports.vault, "/v1/sys/health"),
            REGISTRY: (self.ports.registry, "/v2/"),
            PREFECT: (self.ports.prefect, "/api/health"),
        }
        asked = [health[name] for name in embedded if name in health]
        served = all(http_status(port, path) in {200, 401} for port, path in asked)
        return connection if served and builder_answers(connection.builder) else None

    def _start(self, progress: Progress, part: PartProgress) -> StackConnection:
        start = Start(self._home, self.ports, self._config.prefect_database, progress, part)
        start.check(self._embedded(private_engine=True))
        (self._home / STATE_FILE).unlink(missing_ok=True)
        remember_ports(self._home, self.ports)
        jobs: list[Callable[[], None]] = [start.builder]
        if self._own_vault is None:
            jobs.append(start.vault_then_registry)
        else:
            progress(f"{VAULT}: your own, {self._own_vault}")
            progress(
                f"{REGISTRY}: not started, because its password is only in the embedded Vault; choose a registry "
                "with --image"
            )
        if self._own_prefect is None:
            jobs.append(start.prefect)
        else:
            progress(f"{PREFECT}: your own, {self._own_prefect}")
        choice = start.run_all(jobs)
        connection = self._embedded_connection(choice)
        write_state(StackState(connection, private_engine=choice.spec is not None))
        return self._with_own_parts(connection)

    def _check_images(self) -> None:
        """An image's name has the registry's port in it: another one must not be chosen by mistake."""
        before, now = self.registry_before, self._registry_host
        if before == now or self._config.rename_images:
            return
        from prefect_slipway.infra.local.registry import repositories

        if names := repositories(self._home):
            raise InvalidOption(
                f"{before}/{names[0]} would become {now}/{names[0]}: images are named after the registry's port",
                action=f"keep the port (--registry-port {last_ports(self._home).registry}), or add --rename-images",
                details=f"The registry contains {', '.join(names[:10])}{' and more' if names[10:] else ''}.",
            )

    # What is wanted -----------------------------------------------------------------------------------------

    @property
    def _registry_host(self) -> str:
        return f"127.0.0.1:{self.ports.registry}"

    def _unless_embedded(self, name: str, address: str | None, port: int) -> str | None:
        """None for the embedded part's own address, which may be set for `prefect` or `bao` to find it.

        If that part is not running, the server that answers there is the user's own.
        """
        if address is None:
            return None
        parts = urlsplit(address)
        if parts.port != port or parts.hostname not in {"127.0.0.1", "localhost"}:
            return address
        is_embedded = noted_daemon(self._home, name).process() is not None or http_status(port, "/") is None
        return None if is_embedded else address

    def _embedded(self, private_engine: bool) -> list[str]:
        """The parts that have to be Slipway's own daemons."""
        names = [BUILDER] if private_engine else []
        if self._own_vault is None:
            names += [VAULT, REGISTRY]
        if self._own_prefect is None:
            names.append(PREFECT)
        return names

    def _embedded_connection(self, choice: BuilderChoice) -> StackConnection:
        from prefect_slipway.infra.local.vault import REGISTRY_SECRET, SIGNING_KEY, approle_file

        return StackConnection(
            home=self._home,
            builder=choice.address,
            builder_network=choice.network,
            registry=self._registry_host,
            registry_secret=REGISTRY_SECRET,
            vault_address=vault_url(self.ports.vault),
            approle_file=approle_file(self._home),
            prefect_api_url=api_url(self.ports.prefect),
            prefect_ui_url=ui_url(self.ports.prefect),
            signing_key=SIGNING_KEY,
        )

    def _with_own_parts(self, connection: StackConnection) -> StackConnection:
        if self._own_vault is not None:
            connection = connection._replace(
                vault_address=self._own_vault,
                approle_file=None,
                registry=None,
                registry_secret=None,
                signing_key=None,
            )
        elif not self._config.sign:
            connection = connection._replace(signing_key=None)
        if self._own_prefect is not None:
            connection = connection._replace(
                prefect_api_url=self._own_prefect,
                prefect_ui_url=self._config.own_prefect_ui_url or self._own_prefect.removesuffix("/api"),
            )
        return connection

    # One part -----------------------------------------------------------------------------------------------

    def _part_status(self, name: str, address: str | None, embedded: bool) -> PartStatus:
        if not embedded and name != REGISTRY:
            return PartStatus(name, "foreign", address, pid=None, since=None, log=None)
        daemon = noted_daemon(self._home, name)
        process = daemon.process()
        if process is None:
            return PartStatus(name, "stopped", address, pid=None, since=None, log=daemon.log_file)
        since = datetime.fromtimestamp(process.create_time(), UTC)
        return PartStatus(name, "running", address, process.pid, since, daemon.log_file)


def vault_url(port: int) -> str:
    return f"http://127.0.0.1:{port}"

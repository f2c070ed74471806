"""Servers that stay away: tried again for a while, then said. All at once, since most of the time is waiting."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from prefect_slipway.infra.local.engine import engine_address
from tests.engine import engine, kill
from tests.faults import front
from tests.integration.faults.conftest import PASSWORD, SECRET, USER, OwnRegistry
from tests.ports import free_port
from tests.releases import BASE, DOCKERFILE, Traces, complaint, make_source, registry_tags, run_line
from tests.servers import VaultServer, vault_server
from tests.warm import Command, Ended, WarmStarter

UPLOADS = r"/blobs/uploads/"


class Patience:
    """Releases that fail after their last try, by what is wrong with them."""

    def __init__(self, commands: WarmStarter, folder: Path, env: Mapping[str, str]) -> None:
        self._commands = commands
        self._folder = folder
        self._env = env
        self._running: dict[str, tuple[str, Command]] = {}
        self._ended: dict[str, tuple[str, Ended]] = {}

    def start(
        self, what: str, *options: str, image: str = "", dockerfile: str = DOCKERFILE, env: Mapping[str, str] = {}
    ) -> Command:
        source = make_source(self._folder / f"app-{uuid.uuid4().hex[:8]}", dockerfile)
        if image:
            options = (*options, "--image", f"{image}/{source.name}", "--credentials", f"vault:{SECRET}")
        environment = {**self._env, **env} if image else env
        command = self._commands.start("release", source, *options, "--format", "json", env=environment)
        self._running[what] = (source.name, command)
        return command

    def wait(self) -> None:
        self._ended = {what: (name, command.end()) for what, (name, command) in self._running.items()}

    def of(self, what: str) -> tuple[str, Ended]:
        """The source's name, and how its release ended."""
        return self._ended[what]


@pytest.fixture(scope="module")
def patience(
    commands: WarmStarter, vault: VaultServer, own_registry: OwnRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Patience]:
    env = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token(policies=["reads"])["client_token"]}
    nowhere = f"127.0.0.1:{free_port()}"
    with ExitStack() as exits:
        home = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="sw", dir="/tmp")))
        daemon = engine(home)
        daemon.start()
        exits.callback(daemon.stop)
        sealed = exits.enter_context(vault_server(tmp_path_factory.mktemp("sealed")))
        token = sealed.token()["client_token"]
        sealed.seal()
        failing, breaking = (exits.enter_context(front(own_registry.host)) for _ in range(2))
        failing.spoil("POST", UPLOADS, 502)
        breaking.spoil("POST", UPLOADS)

        running = Patience(commands, tmp_path_factory.mktemp("sources"), env)
        options = ("--builder", engine_address(home), "--network", "none")
        dying = running.start("builder dies", *options, dockerfile=BASE + run_line("echo now; exec sleep 300"))
        running.start("registry", image=nowhere)
        running.start("registry fails", image=failing.host)
        running.start("upload breaks", image=breaking.host)
        running.start("vault", image=own_registry.host, env={"VAULT_ADDR": f"http://{nowhere}"})
        sealing = {"VAULT_ADDR": sealed.address, "VAULT_TOKEN": token}
        running.start("vault is sealed", image=own_registry.host, env=sealing)
        running.start("builder", "--builder", f"tcp://{nowhere}")
        running.start("builder's socket", "--builder", f"unix://{home}/nobody.sock")
        running.start("registry's name", image="no-such-host.invalid")
        running.start("vault's name", image=own_registry.host, env={"VAULT_ADDR": "http://no-such-host.invalid"})
        running.start("builder's name", "--builder", "tcp://no-such-host.invalid:1234")
        dying.until(" now\n")
        kill(daemon)
        running.wait()
        exits.callback(sealed.unseal)
        yield running


@pytest.mark.parametrize(
    ("what", "cause", "action"),
    [
        ("registry", "127.0.0.1:", "check the registry's host name and port"),
        ("registry fails", "HTTP 502", "the registry failed"),
        ("upload breaks", "broke during an upload", "run the same command again; finished uploads are kept"),
        ("vault", "cannot be reached", "check VAULT_ADDR and VAULT_CACERT"),
        ("vault is sealed", "is sealed or has no leader (HTTP 503)", "unseal Vault"),
        ("builder", "builder tcp://127.0.0.1:", "check the address in --builder"),
        ("builder's socket", "nobody.sock", "check the address in --builder"),
        ("builder dies", "builder docker://", "check the address in --builder"),
        ("registry's name", "no such host", "check the host name in the registry's address"),
        ("vault's name", "no such host", "check the host name in VAULT_ADDR"),
        ("builder's name", "no such host", "check the host name in the builder's address"),
    ],
)
def test_what_stays_away_is_said_in_the_end(
    patience: Patience, traces: Traces, own_registry: OwnRegistry, what: str, cause: str, action: str
) -> None:
    """The cause with the address, the next action; nothing left."""
    name, ended = patience.of(what)
    said = complaint(ended)
    assert cause in said
    assert f"Next: {action}" in said
    assert registry_tags(own_registry.host, name, (USER, PASSWORD)) == []
    traces.assert_failed(name, cause)


@pytest.mark.parametrize(
    ("what", "step", "times"),
    [
        ("registry", "plan version", 4),
        ("registry fails", "plan version", 4),
        ("vault", "read credentials", 4),
        ("builder", "provision builder", 4),
        ("builder dies", "build and push", 4),
        ("registry's name", "plan version", 1),
        ("vault's name", "read credentials", 1),
        ("builder's name", "provision builder", 1),
    ],
)
def test_it_was_tried_as_often_as_it_may_help(patience: Patience, what: str, step: str, times: int) -> None:
    """Once and three times again; once where a name does not exist."""
    _, ended = patience.of(what)
    assert ended.stderr.count(f"> {step}\n") == times


def test_the_runs_log_tells_it_in_words(patience: Patience, traces: Traces) -> None:
    """Each retry with its cause and seconds to one digit; no class of Python, no traceback."""
    name, _ = patience.of("registry")
    log = traces.log(traces.runs(name)[0]["id"])
    retries = [line for line in log if "Retry" in line]
    assert len(retries) == 3
    for line in retries:
        assert re.fullmatch(
            r"Task run failed with exception: \S+ cannot be reached: connection refused - Retry \d/3 will start "
            r"\d\.\d second\(s\) from now",
            line,
        ), line
    assert "Traceback" not in "\n".join(log)
    assert "RegistryUnreachable(" not in "\n".join(log)

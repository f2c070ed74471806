"""The state folder: who may change it, what is noted in it, and what a purge removes."""

from __future__ import annotations

import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from prefect_slipway.infra.domain.errors import Interrupted, PartMissing, PortTaken, StackDown, StackError
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection, StackState, read_state, write_state
from prefect_slipway.infra.local.daemon import DaemonSpec
from prefect_slipway.infra.local.leftovers import end_processes, remove_state
from prefect_slipway.infra.local.lock import home_lock
from prefect_slipway.infra.local.prefect import prefect_spec
from prefect_slipway.infra.local.stack import Stack
from prefect_slipway.infra.local.start_up import ThreadedJobs
from tests.ports import free_port
from tests.waiting import PATIENCE_S


def silent(line: str) -> None:
    pass


def test_a_purge_keeps_what_is_not_slipways(tmp_path: Path) -> None:
    """SLIPWAY_HOME may name somebody's home folder: a purge removes Slipway's state and nothing else."""
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "unseal.json").touch()
    (tmp_path / "stack.json").touch()
    (tmp_path / "thesis.tex").touch()
    remove_state(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("option", "ends"),
    [
        ("--data-root={home}/engine/data", True),
        ("--host=unix://{home}/engine/run/docker.sock", True),
        ("{home}/engine/daemon.json", True),
        ("--data-root=/mnt{home}/engine/data", False),
        ("--data-root={home}2/engine/data", False),
    ],
)
def test_an_engine_of_another_folder_is_left_alone(tmp_path: Path, option: str, ends: bool) -> None:
    """What is left of this home's engine is ended, and no engine whose path only contains the home's."""
    shutil.copy2(shutil.which("bash") or "/bin/bash", tmp_path / "dockerd")
    engine = subprocess.Popen(
        [tmp_path / "dockerd", "-c", "read -r line; exit 0", option.format(home=tmp_path / "home")],
        stdin=subprocess.PIPE,
    )
    end_processes(tmp_path / "home")
    ended = not psutil.pid_exists(engine.pid)
    engine.communicate(b"\n")
    assert ended is ends


def test_a_purge_does_not_follow_links(tmp_path: Path) -> None:
    """A link in the state folder is removed, what it points to is not."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    home = tmp_path / "home"
    home.mkdir()
    (home / "registry").symlink_to(elsewhere)
    remove_state(home)
    assert not home.exists()
    assert (elsewhere / "file").exists()


def test_changes_of_the_stack_happen_one_after_another(tmp_path: Path) -> None:
    """The second one waits, says so, and goes on when the first one is done."""
    said = threading.Event()
    order: list[str] = []

    def second() -> None:
        with home_lock(tmp_path, lambda line: said.set()):
            order.append("second")

    thread = threading.Thread(target=second)
    with home_lock(tmp_path, silent):
        thread.start()
        assert said.wait(PATIENCE_S)
        order.append("first")
    thread.join(PATIENCE_S)
    assert order == ["first", "second"]


def test_a_lock_in_a_purged_home_is_taken_anew(tmp_path: Path) -> None:
    """Who waited while the home was removed locks the new file, not the removed one."""
    home = tmp_path / "home"
    home.mkdir()
    waiting, held = threading.Event(), threading.Event()

    def second() -> None:
        with home_lock(home, lambda line: waiting.set()):
            held.set()
            assert (home / "lock").exists()

    thread = threading.Thread(target=second)
    with home_lock(home, silent):
        thread.start()
        assert waiting.wait(PATIENCE_S)
        remove_state(home)
        assert not home.exists()
    thread.join(PATIENCE_S)
    assert held.is_set()


def test_the_noted_connection_is_read_back(tmp_path: Path) -> None:
    """What `up` notes is what a release gets."""
    connection = StackConnection(
        home=tmp_path,
        builder="docker:///a/docker.sock",
        builder_network="host",
        registry="127.0.0.1:5000",
        registry_secret="vault:secret/slipway/registry",
        vault_address="http://127.0.0.1:8200",
        approle_file=tmp_path / "vault" / "approle.json",
        prefect_api_url="http://127.0.0.1:4200/api",
        prefect_ui_url="http://127.0.0.1:4200",
    )
    write_state(StackState(connection, private_engine=True))
    assert read_state(tmp_path) == StackState(connection, private_engine=True)
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{}", '{"connection": {"builder": "x"}, "private_engine": true}', "[]"])
def test_a_state_file_of_another_version_is_said(tmp_path: Path, text: str) -> None:
    """Not a traceback: the next `up` writes a new one."""
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StackDown):
        read_state(tmp_path)


def test_nothing_started_is_said_with_the_command(tmp_path: Path) -> None:
    """The next action stands in the message."""
    with pytest.raises(StackDown) as caught:
        Stack(StackConfig(tmp_path)).connection()
    assert "slipway up" in str(caught.value)


def test_stopping_where_nothing_ever_ran_makes_no_folder(tmp_path: Path) -> None:
    """`slipway down` on a fresh machine does nothing at all."""
    home = tmp_path / "home"
    assert Stack(StackConfig(home)).down(purge=True) == []
    assert not home.exists()


def test_prefects_database_password_is_in_a_private_file_only(tmp_path: Path) -> None:
    """Neither arguments nor environment show it; the driver that Prefect wants is put in."""
    spec = prefect_spec(tmp_path, 4200, 'postgresql://u:hun"ter2@h/d')
    assert not any("ter2" in word for word in (*spec.argv, *spec.env.values()))
    profile = tmp_path / "prefect" / "profiles.toml"
    assert r"postgresql+asyncpg://u:hun\"ter2@h/d" in profile.read_text()
    assert profile.stat().st_mode & 0o777 == 0o600


def test_all_failures_of_a_start_are_told() -> None:
    """Two parts that fail are mended in one go."""

    def missing() -> None:
        raise PartMissing("registry: the program 'docker-registry' is not installed")

    def taken() -> None:
        raise PortTaken("prefect: port 4200 is taken")

    with pytest.raises(PartMissing) as caught:
        ThreadedJobs().run([missing, taken])
    assert "port 4200 is taken" in str(caught.value)


def test_a_bug_is_not_renamed() -> None:
    """What is no named cause stays what it is."""

    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ThreadedJobs().run([bug])


def test_an_interrupted_start_stops_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the wait for a part that takes minutes to start."""
    threaded = ThreadedJobs()
    spec = threaded.interruptible(DaemonSpec("part", (), ready=lambda: False))
    ended: list[BaseException] = []

    def job() -> None:
        try:
            while not spec.ready():
                pass
        except Interrupted as error:
            ended.append(error)

    def interrupt(futures: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prefect_slipway.infra.local.start_up.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        threaded.run([job])
    assert len(ended) == 1


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """Not a traceback, but what to set."""
    (tmp_path / "file").touch()
    with pytest.raises(StackError) as caught:
        Stack(StackConfig(tmp_path / "file" / "home")).up()
    assert "SLIPWAY_HOME" in str(caught.value)


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    """SLIPWAY_HOME may name a folder that others use as well."""
    tmp_path.chmod(0o755)
    with home_lock(tmp_path, silent):
        assert tmp_path.stat().st_mode & 0o777 == 0o755
    with home_lock(tmp_path / "new", silent):
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_embedded_parts_own_address_is_not_taken_for_ones_own_server(tmp_path: Path) -> None:
    """VAULT_ADDR and PREFECT_API_URL may name the embedded parts, for `bao` and `prefect` to find them."""
    vault, prefect = free_port(), free_port()
    config = StackConfig(
        tmp_path,
        vault_port=vault,
        prefect_port=prefect,
        own_vault_address=f"http://localhost:{vault}",
        own_prefect_url=f"http://127.0.0.1:{prefect}/api",
    )
    assert {part.state for part in Stack(config).status()} == {"stopped"}


def test_ones_own_server_may_have_the_embedded_parts_port(tmp_path: Path) -> None:
    """A Prefect server of one's own at 4200 is the usual case: what answers there and is not ours is one's own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.server_port
        config = StackConfig(tmp_path, prefect_port=port, own_prefect_url=f"http://127.0.0.1:{port}/api")
        states = {part.name: part.state for part in Stack(config).status()}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert states["prefect"] == "foreign"
    assert states["vault"] == "stopped"

"""A daemon's life: started once, known for certain, stopped with all that it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from prefect_slipway.infra.domain.errors import DaemonFailed, PartMissing, PortTaken
from prefect_slipway.infra.local.daemon import Daemon, DaemonSpec, check_port
from tests.ports import free_port
from tests.waiting import PATIENCE_S

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes daemons that run Python code and are ready once they have written the file `ready`."""
    made: list[Daemon] = []

    def daemon(code: str, **more: object) -> Daemon:
        ready = tmp_path / "ready"
        program = f"import os, pathlib, signal, subprocess, sys, time\n{code}\n"
        program += f"pathlib.Path({str(ready)!r}).touch()\ntime.sleep(600)"
        spec = DaemonSpec("part", (sys.executable, "-c", program), ready=ready.exists, **more)  # type: ignore[arg-type]
        made.append(Daemon(spec, tmp_path / "run", tmp_path / "log"))
        return made[-1]

    yield daemon
    for each in made:
        each.stop()


def test_a_second_start_keeps_the_process(make: Make) -> None:
    """Starting what runs and answers changes nothing."""
    daemon = make("")
    daemon.start()
    first = daemon.process()
    daemon.start()
    assert first is not None
    assert daemon.process() == first


def test_tokens_of_the_caller_are_not_inherited(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon outlives the command that started it: that one's secrets are not for its environment."""
    monkeypatch.setenv("VAULT_TOKEN", "s.secret")
    monkeypatch.setenv("SLIPWAY_PREFECT_DATABASE", "postgresql://u:secret@h/d")
    daemon = make("", env={"GIVEN": "1"})
    daemon.start()
    process = daemon.process()
    assert process is not None
    environment = process.environ()
    assert environment["GIVEN"] == "1"
    assert "PATH" in environment
    assert not any("secret" in value for value in environment.values())


def test_another_process_of_the_same_pid_is_not_taken_for_the_daemon(make: Make) -> None:
    """After a reboot the pid may be anybody's: it is neither shown nor signalled."""
    daemon = make("")
    daemon.pid_file.parent.mkdir(parents=True)
    daemon.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": "another boot/1"}))
    assert daemon.process() is None
    assert daemon.stop() is False


def test_a_daemon_that_ends_while_starting_shows_its_last_lines(make: Make) -> None:
    """The part's own words are the cause that a user can act on."""
    with pytest.raises(DaemonFailed, match="exit status 3") as caught:
        make("print('no such disk', flush=True); sys.exit(3)").start()
    assert "no such disk" in caught.value.details


def test_a_daemon_that_never_answers_is_given_up_and_ended(make: Make) -> None:
    """A start has an end, and leaves no process behind."""
    daemon = make("time.sleep(600)", start_timeout_s=0.3)
    with pytest.raises(DaemonFailed, match="not ready within"):
        daemon.start()
    assert daemon.process() is None


def test_a_program_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """The message says which program to install."""
    spec = DaemonSpec("part", ("no-such-program",), ready=lambda: False)
    with pytest.raises(PartMissing, match="no-such-program"):
        Daemon(spec, tmp_path / "run", tmp_path / "log").start()


def test_children_in_sessions_of_their_own_end_too(make: Make, tmp_path: Path) -> None:
    """An engine starts containerd in another session: it is not to outlive the engine."""
    note = tmp_path / "child"
    child = f"[{sys.executable!r}, '-c', 'import time; time.sleep(600)']"
    daemon = make(
        f"child = subprocess.Popen({child}, start_new_session=True)\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))"
    )
    daemon.start()
    pid = int(note.read_text())
    daemon.stop()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_daemon_that_ignores_sigterm_is_killed(make: Make) -> None:
    """Stopping always ends."""
    daemon = make("signal.signal(signal.SIGTERM, signal.SIG_IGN)", stop_timeout_s=0.2)
    daemon.start()
    assert daemon.stop() is True
    assert daemon.process() is None


def test_a_killed_daemon_is_started_again(make: Make, tmp_path: Path) -> None:
    """What died is noticed, whatever its pid file says."""
    daemon = make("")
    daemon.start()
    first = daemon.process()
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    first.wait(PATIENCE_S)
    (tmp_path / "ready").unlink()
    daemon.start()
    second = daemon.process()
    assert second is not None
    assert second != first


def test_a_taken_port_is_said_with_its_holder_and_the_way_out() -> None:
    """Who holds it, and which option chooses another."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} .*\(pid {os.getpid()}\)") as caught:
            check_port("registry", port, "--registry-port")
    assert "--registry-port" in caught.value.action


def test_a_free_port_is_free() -> None:
    """Nothing listens on what `free_port` gives."""
    check_port("part", free_port(), "--port")

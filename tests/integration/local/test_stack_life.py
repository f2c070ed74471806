"""The embedded stack as a user meets it: up, status, a part that dies, down, purge. All parts are real."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.stack import PARTS, Stack
from tests.conftest import SLIPWAY, clean_environment, run_slipway, stack_home
from tests.ports import free_port
from tests.releases import make_source
from tests.waiting import PATIENCE_S, long_sleep, wait_until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def env() -> Iterator[dict[str, str]]:
    """A home in which `slipway up` ran once."""
    with stack_home() as environment:
        started = run_slipway("up", env=environment)
        assert started.returncode == 0, started.stdout + started.stderr
        yield environment


def statuses(env: dict[str, str]) -> dict[str, dict[str, Any]]:
    answer = run_slipway("status", "--format", "json", env=env)
    return {part["name"]: part for part in json.loads(answer.stdout)}


def living_below(home: str) -> list[str]:
    """Command lines of processes that work for or in `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            # pytest's own undertaker has the home in its environment only.
            if any(home in word for word in words):
                found.append(" ".join(words))
        except psutil.Error:
            continue
    return found


SLEEP = str(long_sleep())


def sleeping() -> list[int]:
    return [each.pid for each in psutil.process_iter(["cmdline"]) if SLEEP in (each.info["cmdline"] or [])]


@contextmanager
def a_step_that_sleeps(builder: str, folder: Path) -> Iterator[None]:
    """A build in whose RUN step the engine is."""
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "owned").mkdir()
    (folder / "owned" / "file").touch()
    # For an ordinary user the second copy's files belong to a subordinate user id.
    lines = [
        "FROM scratch",
        "COPY busybox /",
        "COPY --chown=1000:1000 owned /owned/",
        f'RUN --network=host ["/busybox", "sleep", "{SLEEP}"]',
    ]
    (folder / "Dockerfile").write_text("\n".join(lines))
    build = subprocess.Popen(
        ["docker", "--host", builder.replace("docker://", "unix://"), "build", "--network=host", str(folder)],
        env={**clean_environment(), "DOCKER_CONFIG": str(folder / "docker"), "DOCKER_BUILDKIT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not sleeping():
            assert build.poll() is None
        yield
    finally:
        build.terminate()
        build.wait(PATIENCE_S)


def test_all_parts_run_after_up(env: dict[str, str]) -> None:
    """Each part is running (or one's own), and says where."""
    parts = statuses(env)
    assert tuple(parts) == PARTS
    assert all(part["state"] in {"running", "foreign"} for part in parts.values())
    assert all(part["address"] for part in parts.values())


def test_a_second_up_changes_nothing(env: dict[str, str]) -> None:
    """`up` may be called before every release: the processes stay the same."""
    before = statuses(env)
    again = run_slipway("up", "--quiet", env=env)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert statuses(env) == before


def test_two_ups_at_once_do_not_quarrel(env: dict[str, str]) -> None:
    """One waits for the other; both succeed, and there is one of each part."""
    config = StackConfig.from_env(env)
    victim = statuses(env)["registry"]["pid"]
    os.kill(victim, signal.SIGKILL)

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: run_slipway("up", env=env), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert Stack(config).connection().registry == f"127.0.0.1:{env['SLIPWAY_REGISTRY_PORT']}"
    assert len(living_below(f"{config.home}/registry/config.yml")) == 1


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_killed_is_started_by_the_next_up(env: dict[str, str], part: str) -> None:
    """`status` shows it as stopped, `up` mends that and leaves the others alone."""
    before = statuses(env)
    if before[part]["pid"] is None:
        pytest.skip(f"the {part} in use is none of Slipway's")
    os.kill(before[part]["pid"], signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before[part]["pid"])] if psutil.pid_exists(before[part]["pid"]) else [], 10)
    assert statuses(env)[part]["state"] == "stopped"
    mended = run_slipway("up", env=env)
    assert mended.returncode == 0, mended.stderr
    after = statuses(env)
    assert after[part]["state"] == "running"
    assert {name: each["pid"] for name, each in after.items() if name != part} == {
        name: each["pid"] for name, each in before.items() if name != part
    }


def said_without_stack(env: dict[str, str], source: Path) -> set[str]:
    """By commands of which each needs another part of the stack."""
    make_source(source)
    commands = (["release", "."], ["plan", "."], ["login"], ["history", "app"], ["inspect", "app"])
    answers = [run_slipway(*command, env=env, cwd=source) for command in commands]
    assert all(answer.returncode in {1, 2} and "run `slipway up`" in answer.stderr for answer in answers)
    found = [re.search("the embedded stack is not .*", answer.stderr) for answer in answers]
    return {match[0] if match else answer.stderr for match, answer in zip(found, answers, strict=True)}


def test_a_part_that_died_is_no_connection(env: dict[str, str], tmp_path: Path) -> None:
    """A release is told which part is down before it starts, and so is every other command; `doctor` finds it."""
    from prefect_slipway.infra.domain.errors import StackDown

    registry = psutil.Process(statuses(env)["registry"]["pid"])
    registry.kill()
    registry.wait()
    with pytest.raises(StackDown, match="registry"):
        Stack(StackConfig.from_env(env)).connection()
    assert run_slipway("status", env=env).returncode == 1
    assert said_without_stack(env, tmp_path / "source") == {"the embedded stack is not complete: registry stopped"}
    found = run_slipway("doctor", env=env)
    assert found.returncode == 1
    assert re.search(r"^FIX   registry +stopped, while other parts run\n +-> slipway up$", found.stdout, re.MULTILINE)
    assert run_slipway("up", env=env).returncode == 0
    assert run_slipway("doctor", env=env).returncode == 0


def test_a_dead_engines_pid_files_do_not_keep_it_from_starting(env: dict[str, str]) -> None:
    """After a power cut and a reboot the pids in them are those of living strangers."""
    builder = statuses(env)["builder"]
    if builder["state"] != "running":
        pytest.skip("the builder in use is none of Slipway's")
    os.kill(builder["pid"], signal.SIGKILL)
    sockets = Path(builder["address"].removeprefix("docker://")).parent
    for name in ("docker.pid", "exec/containerd/containerd.pid"):
        assert (sockets / name).exists()
        (sockets / name).write_text(str(os.getpid()))
    mended = run_slipway("up", env=env)
    assert mended.returncode == 0, mended.stderr
    assert statuses(env)["builder"]["state"] == "running"


def test_only_the_owner_can_read_the_state(env: dict[str, str]) -> None:
    """The home keeps others out, and the files with secrets or their hashes do so by themselves."""
    home = Path(env["SLIPWAY_HOME"])
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    private = [
        home / "vault" / "unseal.json",
        home / "vault" / "approle.json",
        home / "registry" / "htpasswd",
        home / "prefect" / "profiles.toml",
        home / "stack.json",
    ]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in private} == {path.name: 0o600 for path in private}


def test_down_stops_everything_and_keeps_the_state(env: dict[str, str], tmp_path: Path) -> None:
    """After `down` nothing runs, and the next `up` finds images, secrets and record as they were."""
    home = Path(env["SLIPWAY_HOME"])
    role = (home / "vault" / "approle.json").read_text()
    down = run_slipway("down", env=env)
    assert down.returncode == 0
    assert "registry" in down.stdout
    assert living_below(f"{home}/") == []
    assert run_slipway("down", env=env).stdout == "nothing was running\n"
    assert said_without_stack(env, tmp_path / "source") == {f"the embedded stack is not running in {home}"}
    assert run_slipway("doctor", env=env).returncode == 0
    assert run_slipway("up", env=env).returncode == 0
    assert (home / "vault" / "approle.json").read_text() == role


def test_a_stack_that_a_run_uses_is_not_stopped(env: dict[str, str], tmp_path: Path) -> None:
    """`down` names the run and stops nothing, with or without a purge; a killed run counts no more."""
    reached, over, source = tmp_path / "reached", tmp_path / "over", make_source(tmp_path / "source")
    gate = f"waits: sh -c 'touch {reached}; until [ -e {over} ]; do sleep 0.1; done'"
    release = subprocess.Popen(
        [SLIPWAY, "release", source, "--gate", gate, "--progress", "quiet"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(reached.exists)
        for more in ([], ["--purge"]):
            refused = run_slipway("down", *more, env=env)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert f"the stack is in use: release source (process {release.pid})" in refused.stderr
            assert "slipway down --force" in refused.stderr
        assert {part["state"] for part in statuses(env).values()} <= {"running", "foreign"}
    finally:
        release.kill()
        release.wait()
        over.touch()
    notes = Path(env["SLIPWAY_HOME"]) / "runs"
    assert len(list(notes.iterdir())) == 1
    assert run_slipway("down", env=env).returncode == 0
    assert list(notes.iterdir()) == []
    assert run_slipway("up", env=env).returncode == 0


def test_a_purge_leaves_nothing(env: dict[str, str], tmp_path: Path) -> None:
    """No process, no mount, no file; even when the engine was killed in the middle of a build."""
    home = Path(env["SLIPWAY_HOME"])
    builder = statuses(env)["builder"]
    if builder["state"] == "running":
        with a_step_that_sleeps(builder["address"], tmp_path):
            os.kill(builder["pid"], signal.SIGKILL)
    purged = run_slipway("down", "--purge", env=env)
    assert purged.returncode == 0, purged.stderr
    assert not home.exists()
    assert living_below(f"{home}/") == []
    assert sleeping() == []
    assert str(home) not in Path("/proc/self/mountinfo").read_text()


def test_a_taken_port_names_its_holder_and_the_option() -> None:
    """All that are taken are told before anything is started; with other ports it works."""
    with (
        stack_home(PREFECT_API_URL="http://127.0.0.1:9/api") as env,
        socket.socket() as holder,
        socket.socket() as other,
    ):
        for taken, part in ((holder, "REGISTRY"), (other, "VAULT")):
            taken.bind(("127.0.0.1", int(env[f"SLIPWAY_{part}_PORT"])))
            taken.listen()
        failed = run_slipway("up", env=env)
        assert failed.stdout == ""
        assert sorted(path.name for path in Path(env["SLIPWAY_HOME"]).iterdir()) == ["lock", "version.json"]
        assert failed.returncode == 1
        for part in ("registry", "vault"):
            assert f"{part}: port {env[f'SLIPWAY_{part.upper()}_PORT']} on 127.0.0.1 is in use" in failed.stderr
        assert f"(pid {os.getpid()})" in failed.stderr
        assert re.search("Next: .*--(registry|vault)-port", failed.stderr)
        assert "Traceback" not in failed.stderr
        moved = run_slipway("up", "--registry-port", str(free_port()), "--vault-port", str(free_port()), env=env)
        assert moved.returncode == 0, moved.stderr


def test_what_is_not_installed_is_told_before_anything_starts(tmp_path: Path) -> None:
    """With the command that installs it."""
    with stack_home(PREFECT_API_URL="http://127.0.0.1:9/api", PATH=str(tmp_path)) as env:
        failed = run_slipway("up", env=env)
        assert failed.returncode == 1
        assert "the program docker-registry is not installed" in failed.stderr
        assert re.search("Next: .*install .*docker-registry", failed.stderr)
        assert sorted(path.name for path in Path(env["SLIPWAY_HOME"]).iterdir()) == ["lock", "version.json"]


def test_ones_own_servers_are_used_instead() -> None:
    """PREFECT_API_URL and VAULT_ADDR: neither Prefect nor Vault nor registry are started, and `up` says so."""
    own = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "VAULT_ADDR": "https://vault.example.com"}
    with stack_home(**own) as env:
        started = run_slipway("up", env=env)
        assert started.returncode == 0, started.stderr
        assert "prefect: your own, http://127.0.0.1:9/api" in started.stderr
        assert "vault: your own, https://vault.example.com" in started.stderr
        parts = statuses(env)
        assert parts["prefect"]["state"] == "foreign"
        assert parts["vault"]["state"] == "foreign"
        assert parts["registry"]["state"] == "stopped"
        connection = Stack(StackConfig.from_env(env)).connection()
        assert (connection.registry, connection.approle_file) == (None, None)
        assert connection.vault_address == "https://vault.example.com"
        assert connection.prefect_api_url == "http://127.0.0.1:9/api"
        assert connection.prefect_ui_url == "http://127.0.0.1:9"

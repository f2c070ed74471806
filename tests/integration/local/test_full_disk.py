"""The disk of the state folder fills up: which disk it is and what makes room, instead of what it leads to."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.stack import Stack
from tests.conftest import SLIPWAY, run_slipway, stack_home
from tests.migrated import use_database
from tests.releases import BASE, make_source, run_line
from tests.small_disk import small_disk

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]


@pytest.fixture
def disk() -> Iterator[Path]:
    """The folder of a disk of 300 MiB, short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="sw", dir="/tmp") as folder, small_disk(Path(folder), "300m"):
        yield Path(folder)


def fill(disk: Path) -> Path:
    """Take all that is left."""
    file = disk / "filled"
    subprocess.run(["dd", "if=/dev/zero", f"of={file}", "bs=1M"], check=False, stderr=subprocess.DEVNULL)
    return file


def complaint(*arguments: str | Path, env: dict[str, str]) -> str:
    """What a command said that failed: a cause and a next action."""
    ended = run_slipway(*arguments, env=env)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    _, found, said = ended.stderr.rpartition("slipway: ")
    assert found, ended.stderr
    return said


def test_a_full_disk_is_named(disk: Path, migrated: Path, tmp_path: Path) -> None:
    """By each command that needs space on it, by Vault's HTTP 500 as well as by its own look; a prune works, and when
    there is space again all goes on as before."""
    simple, big = make_source(tmp_path / "simple"), tmp_path / "big"
    make_source(big, BASE + run_line("dd if=/dev/zero of=/big bs=1M count=400"))
    with stack_home(SLIPWAY_HOME=str(disk / "home")) as env:
        use_database(migrated, env)
        try:
            assert run_slipway("up", env=env).returncode == 0
            assert run_slipway("release", simple, env=env).returncode == 0

            filled = fill(disk)
            named = f"the disk {disk} is full: 0 MiB are free, {disk}/home needs 32 MiB"
            for command in ("release", "plan"):
                said = complaint(command, simple, env=env)
                assert said.startswith(named)
                assert "Next: free some space on it (`slipway builder prune` removes the build cache)" in said
            assert "VaultUnreachable: " in said
            assert run_slipway("builder", "prune", env=env).returncode == 0
            assert run_slipway("down", env=env).returncode == 0
            said = complaint("up", env=env)
            assert said.startswith(f"the disk {disk} is full: ")
            assert "builder prune" not in said, "there is none any more to be pruned"
            assert not list((disk / "home" / "run").glob("*.pid"))

            filled.unlink()
            assert run_slipway("up", env=env).returncode == 0
            assert "simple 0.2.0 released" in run_slipway("release", simple, env=env).stdout

            said = complaint("build", big, env=env)
            assert "no space left on its disk" in said
            assert "`slipway builder prune`" in said
        finally:
            run_slipway("down", "--purge", env=env)


def test_a_disk_without_space_for_a_start(disk: Path) -> None:
    """Is said before anything is started, and nothing is left behind."""
    (disk / "other").write_bytes(b"x" * (200 << 20))
    with stack_home(SLIPWAY_HOME=str(disk / "home")) as env:
        assert complaint("up", env=env).startswith(
            f"the disk {disk} has too little space: 99 MiB are free, {disk}/home needs 128 MiB"
        )
        assert {part.state for part in Stack(StackConfig.from_env(env)).status()} <= {"stopped", "foreign"}
        assert sorted(path.name for path in (disk / "home").iterdir()) == ["lock", "version.json"]


def test_another_disk_is_full() -> None:
    """What a command writes elsewhere does not fit there."""
    ended = subprocess.run(f"{SLIPWAY} status > /dev/full", shell=True, capture_output=True, text=True, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert ended.stderr.startswith("slipway: the command's output cannot be written: No space left on device\n")

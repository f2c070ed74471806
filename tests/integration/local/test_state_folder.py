"""The state folder: whose it is, of which version, and what its images are called."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import StateFolderUnusable
from prefect_slipway.infra.local.home import stack_home
from tests.conftest import clean_environment, run_slipway
from tests.conftest import stack_home as empty_home
from tests.migrated import use_database
from tests.ports import free_port
from tests.releases import make_source
from tests.small_disk import small_disk

pytestmark = pytest.mark.timeout(400)

COMMANDS = (["status"], ["up"], ["down", "--purge"], ["doctor"], ["release", "."], ["build", "."], ["history", "app"])
NOBODY = 65534


@pytest.fixture(scope="module")
def env(migrated: Path) -> Iterator[dict[str, str]]:
    """A home in which `slipway up` ran once, in a folder that had no version yet."""
    with empty_home() as environment:
        use_database(migrated, environment)
        assert run_slipway("up", env=environment).returncode == 0
        version = Path(environment["SLIPWAY_HOME"]) / "version.json"
        version.unlink()
        yield environment


def test_a_folder_without_a_version_is_taken_over(env: dict[str, str]) -> None:
    """It is of the time before there were versions: the next `up` notes this one, and what runs goes on."""
    before = run_slipway("status", env=env).stdout
    assert run_slipway("up", env=env).returncode == 0
    noted = json.loads((Path(env["SLIPWAY_HOME"]) / "version.json").read_text())
    assert noted == {"version": 1, "slipway": run_slipway("--version", env=env).stdout.split()[1]}
    assert run_slipway("status", env=env).stdout == before


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_newer_folder_is_refused(command: list[str], tmp_path: Path) -> None:
    """By every command, with the version that reads it; nothing in it is touched."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "version.json").write_text('{"version": 99, "slipway": "7.8.9"}\n')
    ended = run_slipway(*command, env=clean_environment(SLIPWAY_HOME=str(home)))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"slipway: the state directory {home} belongs to Slipway 7.8.9 or newer\n"
        "Next: use that version, or set SLIPWAY_HOME to another directory\n"
    )
    assert [path.name for path in home.iterdir()] == ["version.json"]


def test_a_version_that_cannot_be_read(tmp_path: Path) -> None:
    """Is no traceback."""
    (tmp_path / "version.json").write_text("{}")
    ended = run_slipway("status", env=clean_environment(SLIPWAY_HOME=str(tmp_path)))
    assert (ended.returncode, "version.json cannot be read" in ended.stderr) == (1, True)


@pytest.mark.root
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_another_users_folder_is_refused(command: list[str], tmp_path: Path) -> None:
    """Also for root, whose files the other user could not change any more."""
    (tmp_path / "lock").touch()
    os.chown(tmp_path / "lock", NOBODY, NOBODY)
    ended = run_slipway(*command, env=clean_environment(SLIPWAY_HOME=str(tmp_path)))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"slipway: the state directory {tmp_path} belongs to the user nobody\n"
        "Next: set SLIPWAY_HOME to a directory of your own\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_roots_folder_is_refused_to_others(mode: int, tmp_path: Path) -> None:
    """Whether or not they may look into it."""
    shutil.copytree(tmp_path, home := Path("/tmp") / f"sw-{os.getpid()}-{mode:o}")
    try:
        (home / "lock").touch()
        home.chmod(mode)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(StateFolderUnusable, match=r"belongs to the user root|cannot be read"):
                stack_home({"SLIPWAY_HOME": str(home)})
        finally:
            os.seteuid(0)
    finally:
        shutil.rmtree(home)


def test_another_registry_port_does_not_rename_images_unasked(env: dict[str, str], tmp_path: Path) -> None:
    """An image's name has the port in it: `up` with another one is refused and changes nothing; where it was meant, the
    images have new names, and with them their versions and their history."""
    source = make_source(tmp_path / "app")
    port, other = env["SLIPWAY_REGISTRY_PORT"], str(free_port())
    assert run_slipway("release", source, env=env).returncode == 0
    before = run_slipway("status", env=env).stdout

    refused = run_slipway("up", env={**env, "SLIPWAY_REGISTRY_PORT": other})
    assert refused.returncode == 2
    assert f"127.0.0.1:{port}/app would become 127.0.0.1:{other}/app" in refused.stderr
    assert f"Next: keep the port (--registry-port {port}), or add --rename-images" in refused.stderr
    # What runs is shown where it runs, whatever the next start would do.
    assert run_slipway("status", env={**env, "SLIPWAY_REGISTRY_PORT": other}).stdout == before

    moved = {name: value for name, value in env.items() if name != "SLIPWAY_REGISTRY_PORT"}
    renamed = run_slipway("up", "--registry-port", other, "--rename-images", env=moved)
    assert renamed.returncode == 0, renamed.stderr
    assert f"127.0.0.1:{other}\n" in run_slipway("status", env=moved).stdout
    assert "0.1.0 " in run_slipway("history", "app", env=moved).stdout
    assert f"127.0.0.1:{other}/app 0.2.0 released" in run_slipway("release", source, env=moved).stdout
    versions = [
        row["version"] for row in json.loads(run_slipway("history", "app", "--format", "json", env=moved).stdout)
    ]
    assert versions == ["0.2.0", "0.1.0"]


@pytest.mark.root
def test_down_leaves_the_users_mounts(tmp_path: Path) -> None:
    """The state folder may be a volume, and so may be what is beside or in it: only what an engine mounted goes."""
    volumes = [tmp_path, tmp_path / "data", tmp_path / "engine"]
    made = [tmp_path / "engine" / "data" / "layer", tmp_path / "engine" / "run" / "netns"]
    with contextlib.ExitStack() as exits:
        for folder in volumes:
            folder.mkdir(exist_ok=True)
            exits.enter_context(small_disk(folder, "64k"))
        for folder in made:
            folder.mkdir(parents=True)
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        assert run_slipway("down", env=clean_environment(SLIPWAY_HOME=str(tmp_path))).returncode == 0
        assert [folder.is_mount() for folder in [*volumes, *made]] == [True, True, True, False, False]

"""Finding a builder on this machine, and the private engine's footprint on it."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption, StackError
from prefect_slipway.infra.local.daemon import Daemon
from prefect_slipway.infra.local.engine import (
    buildkitd_address,
    buildkitd_daemon,
    engine_address,
    engine_daemon,
    find_buildkitd,
    runtime_folder,
    trust_registry_ca,
    usable_engine,
)
from tests.contract.buildkit.parts import Engine


def test_a_running_engine_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine at DOCKER_HOST with the containerd image store is usable."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
    assert usable_engine().address == engine.address


def test_an_engine_without_the_image_store_is_not_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine whose BuildKit could not push is passed over, and why is said."""
    spec = engine_daemon(tmp_path)
    config = tmp_path / "engine" / "daemon.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"features": {}}))
    daemon = Daemon(spec, tmp_path / "run", tmp_path / "log")
    daemon.start()
    try:
        monkeypatch.setenv("DOCKER_HOST", engine_address(tmp_path).replace("docker://", "unix://"))
        found = usable_engine()
    finally:
        daemon.stop()
    assert found.address is None
    assert "containerd image store" in found.reason


def test_no_engine_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is not there, one nobody serves, and an engine on TCP are no usable engines."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert usable_engine().address is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/dead.sock")
        assert usable_engine().address is None
    monkeypatch.setenv("DOCKER_HOST", "tcp://secret@host:2375")
    found = usable_engine()
    assert found.address is None
    assert "secret" not in found.reason


def test_the_machine_is_left_alone(engine: Engine, tmp_path: Path) -> None:
    """The engine's sockets are its user's alone, its mounts and certificates are not the machine's."""
    for folder in (engine.socket.parent, engine.home / "engine"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert str(engine.home) not in Path("/proc/self/mountinfo").read_text()
    ca = tmp_path / "ca.pem"
    ca.write_text("a certificate")
    trust_registry_ca(engine.home, "registry.example:5000", ca)
    assert not Path("/etc/docker/certs.d/registry.example:5000").exists()
    with pytest.raises(InvalidOption, match=r"missing\.pem"):
        trust_registry_ca(engine.home, "registry.example:5000", tmp_path / "missing.pem")


def test_a_long_home_has_its_sockets_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets of a home whose path is too long for them go to a private folder with a short one, always the same."""
    home = tmp_path / ("x" * 100)
    home.mkdir()
    folder = runtime_folder(home)
    try:
        assert runtime_folder(home) == folder
        assert len(os.fsencode(folder)) < 60
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        folder.chmod(0o755)
        with pytest.raises(StackError, match="private directory of this user"):
            runtime_folder(home)
    finally:
        folder.rmdir()


def test_a_buildkitd_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A buildkitd on PATH is found, and is run on the home's socket."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_buildkitd() is None
    program = tmp_path / "buildkitd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = find_buildkitd()
    assert found == program
    spec = buildkitd_daemon(tmp_path, found)
    assert buildkitd_address(tmp_path) in spec.argv

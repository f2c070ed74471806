"""Naming a credential helper in the files of docker and podman: what else is in them stays as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.registry.helper_config import config_files, keys_of, restore_helpers, set_helper

HOST = "127.0.0.1:5000"

FILES = {
    "docker's": '{\n\t"auths": {\n\t\t"r.example": {\n\t\t\t"auth": "eDp5"\n\t\t}\n\t},\n\t"credsStore": "pass"\n}',
    "two spaces": '{\n  "psFormat": "{{.ID}} ✓",\n  "HttpHeaders": {\n    "a": "b"\n  }\n}\n',
    "one line": '{"auths": {}, "experimental": "enabled"}\n',
    "compact": '{"auths":{},"n":1}',
    "other helpers": '{\n\t"credHelpers": {\n\t\t"r.example": "ecr-login"\n\t}\n}\n',
    "another helper of the same": '{\n\t"credHelpers": {\n\t\t"127.0.0.1:5000": "pass"\n\t}\n}\n',
    "order": '{\n\t"z": 1,\n\t"a": 2\n}\n',
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_everything_else_stays_and_comes_back(text: str, tmp_path: Path) -> None:
    """Content, order, indentation; after the restoration the file is byte for byte what it was."""
    file = tmp_path / "config.json"
    file.write_text(text)
    before = set_helper(file, [HOST], "slipway")
    changed = json.loads(file.read_text())
    assert changed.pop("credHelpers")[HOST] == "slipway"
    others = {key: value for key, value in json.loads(text).items() if key != "credHelpers"}
    assert list(changed.items()) == list(others.items())
    assert set_helper(file, [HOST], "slipway") == {HOST: "slipway"}
    restore_helpers(file, "slipway", before)
    assert file.read_text() == text


def test_a_new_file_is_as_docker_writes_it_and_goes_again(tmp_path: Path) -> None:
    """Folder and file are the user's alone."""
    file = tmp_path / ".docker" / "config.json"
    before = set_helper(file, [HOST], "slipway")
    assert file.read_text() == '{\n\t"credHelpers": {\n\t\t"127.0.0.1:5000": "slipway"\n\t}\n}\n'
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    restore_helpers(file, "slipway", before)
    assert not file.exists()
    restore_helpers(file, "slipway", before)
    assert not file.exists()


def test_what_somebody_chose_since_stays(tmp_path: Path) -> None:
    """Another helper that was named after ours is not touched by the restoration."""
    file = tmp_path / "config.json"
    before = set_helper(file, [HOST], "slipway")
    set_helper(file, [HOST], "pass")
    restore_helpers(file, "slipway", before)
    assert json.loads(file.read_text()) == {"credHelpers": {HOST: "pass"}}


def test_a_link_stays_one_and_the_mode_stays(tmp_path: Path) -> None:
    """Dotfiles are often links into a repository."""
    (tmp_path / "dotfiles").mkdir()
    kept = tmp_path / "dotfiles" / "docker.json"
    kept.write_text("{}")
    kept.chmod(0o644)
    link = tmp_path / "config.json"
    link.symlink_to(kept)
    set_helper(link, [HOST], "slipway")
    assert link.is_symlink()
    assert HOST in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in kept.parent.iterdir()] == ["docker.json"]


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"credHelpers": []}', '{"credHelpers": "x"}', "\udc80"])
def test_what_is_no_configuration_is_left_alone(text: str, tmp_path: Path) -> None:
    """It is said, with the file's name, and nothing is written."""
    file = tmp_path / "config.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidOption) as refused:
        set_helper(file, [HOST], "slipway")
    assert str(file) in refused.value.cause
    assert file.read_bytes() == text.encode(errors="surrogateescape")


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With what would have to stand in it."""
    (tmp_path / "file").touch()
    folder = Path("/proc/self/no-docker")
    with pytest.raises(InvalidOption) as refused:
        set_helper(folder / "config.json", [HOST], "slipway")
    assert f"{folder}/config.json cannot be written" in refused.value.cause
    assert '"credHelpers" {"127.0.0.1:5000": "slipway"}' in refused.value.action


def test_the_files_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's, and podman's where they exist; the variables of both count."""
    monkeypatch.setenv("HOME", str(tmp_path))
    docker = tmp_path / ".docker" / "config.json"
    assert config_files({}) == [docker]
    assert config_files({"DOCKER_CONFIG": "/d"}) == [Path("/d/config.json")]
    assert config_files({"REGISTRY_AUTH_FILE": "/a.json"}) == [docker, Path("/a.json")]
    for folder in ("run/containers", ".config/containers"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "auth.json").touch()
    own = [tmp_path / folder / "containers" / "auth.json" for folder in ("run", ".config")]
    assert config_files({"XDG_RUNTIME_DIR": str(tmp_path / "run")}) == [docker, *own]
    assert Path(f"/run/containers/{os.getuid()}/auth.json") not in config_files({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_docker_hub_has_two_names() -> None:
    """Docker asks by its old index address, podman by the name in references."""
    assert keys_of("docker.io") == ["docker.io", "https://index.docker.io/v1/"]
    assert keys_of(HOST) == [HOST]

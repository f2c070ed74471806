"""Which Docker engine the `docker` command would talk to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.buildkit.build.docker_engine import DockerEngine
from prefect_slipway.infra.domain.errors import InvalidOption


def context(folder: Path, name: str, endpoint: Any) -> None:
    """As docker keeps one."""
    place = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    place.mkdir(parents=True)
    (place / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))


@pytest.mark.parametrize(
    ("env", "config", "asked", "address"),
    [
        ({}, {}, "", "unix:///var/run/docker.sock"),
        ({"DOCKER_HOST": "unix:///x.sock"}, {"currentContext": "far"}, "", "unix:///x.sock"),
        ({}, {"currentContext": "far"}, "", "tcp://far.example:2375"),
        ({"DOCKER_CONTEXT": "far"}, {"currentContext": "near"}, "", "tcp://far.example:2375"),
        ({"DOCKER_CONTEXT": "default"}, {"currentContext": "far"}, "", "unix:///var/run/docker.sock"),
        ({"DOCKER_HOST": "unix:///x.sock", "DOCKER_CONTEXT": "far"}, {}, "", "unix:///x.sock"),
        ({"DOCKER_HOST": "unix:///x.sock"}, {}, "near", "unix:///near.sock"),
        ({"DOCKER_HOST": "unix:///x.sock"}, {"currentContext": "far"}, "default", "unix:///x.sock"),
        ({"DOCKER_HOST": "tcp://[::1]:5"}, {}, "", "tcp://[::1]:5"),
        ({"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1"}, {}, "", "tcp://h:2376"),
    ],
)
def test_which_engine(tmp_path: Path, env: dict[str, str], config: dict[str, Any], asked: str, address: str) -> None:
    """A context that is asked for goes first, then DOCKER_HOST, DOCKER_CONTEXT and the configuration's."""
    context(tmp_path, "far", {"Host": "tcp://far.example:2375", "SkipTLSVerify": False})
    context(tmp_path, "near", {"Host": "unix:///near.sock"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert str(DockerEngine.of_docker({"DOCKER_CONFIG": str(tmp_path), **env}, asked)) == address


def test_certificates(tmp_path: Path) -> None:
    """Those of the environment, or of the context; only what is verified has to be vouched for."""
    docker = {"DOCKER_CONFIG": str(tmp_path)}
    for env, certificates, verified in (
        ({}, None, False),
        ({"DOCKER_TLS_VERIFY": "1"}, tmp_path, True),
        ({"DOCKER_TLS": "1"}, tmp_path, False),
        ({"DOCKER_TLS": "1", "DOCKER_CERT_PATH": "/certs"}, Path("/certs"), False),
        ({"DOCKER_CERT_PATH": "/certs"}, None, False),
    ):
        found = DockerEngine.of_docker({**docker, "DOCKER_HOST": "tcp://h:1", **env})
        assert (found.certificates, found.verified) == (certificates, verified)
    context(tmp_path, "safe", {"Host": "tcp://h:2"})
    place = tmp_path / "contexts" / "tls" / hashlib.sha256(b"safe").hexdigest() / "docker"
    place.mkdir(parents=True)
    assert DockerEngine.of_docker(docker, "safe") == DockerEngine(host="h:2", certificates=place)


@pytest.mark.parametrize(
    "text", ["ssh://root@h", "fd://", "npipe:////./pipe/x", "tcp://", "tcp://h:x", "nonsense", "[:"]
)
def test_what_is_no_engine(text: str, tmp_path: Path) -> None:
    """An address that an image cannot be sent to is refused."""
    with pytest.raises(InvalidOption, match="Docker engine"):
        DockerEngine.of_docker({"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": text})


@pytest.mark.parametrize("content", [None, "{", "[]", '{"Endpoints": {}}', '{"Endpoints": {"docker": "x"}}', "\udcff"])
def test_contexts_that_are_none(tmp_path: Path, content: str | None) -> None:
    """One that docker does not have, or whose file holds something else."""
    if content is not None:
        context(tmp_path, "odd", {})
        (file,) = tmp_path.rglob("meta.json")
        file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InvalidOption, match="no readable context 'odd'"):
        DockerEngine.of_docker({"DOCKER_CONFIG": str(tmp_path)}, "odd")

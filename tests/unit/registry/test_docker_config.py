"""Credentials as docker keeps them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.common.docker_auths import credential_of, entry_of
from prefect_slipway.infra.common.docker_config import DockerConfig, docker_proxies
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.registry.docker_config import DockerConfigCredentials


def _source(folder: Path, config: Any) -> DockerConfigCredentials:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return DockerConfigCredentials(folder / "config.json")


def _auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_an_entry_is_found_by_its_host(tmp_path: Path) -> None:
    """Docker Hub is asked for by its API's name and kept under its index's; a password may hold a colon."""
    source = _source(
        tmp_path,
        {"auths": {"r.example:5000": _auth("a", "b:c"), "https://index.docker.io/v1/": _auth("hub", "secret")}},
    )
    assert await source.credential("r.example:5000") == Credential("a", "b:c")
    assert await source.credential("registry-1.docker.io") == Credential("hub", "secret")
    assert await source.credential("other.example") is None


async def test_an_identity_token_has_no_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file, and as a helper gives it; an entry of null is an empty one."""
    entry = {**_auth("00000000-0000-0000-0000-000000000000", ""), "identitytoken": "t"}
    source = _source(tmp_path, {"auths": {"r.example": entry, "null.example": None}})
    assert await source.credential("r.example") == Credential("", "t")
    assert await source.credential("null.example") is None
    helper = tmp_path / "docker-credential-test"
    helper.write_text("""#!/bin/sh\necho '{"Username": "<token>", "Secret": "t"}'\n""")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert await _source(tmp_path, {"credsStore": "test"}).credential("r.example") == Credential("", "t")


async def test_no_file_means_anonymous(tmp_path: Path) -> None:
    """Who never logged in anywhere has no configuration."""
    assert await DockerConfigCredentials(tmp_path / "config.json").credential("r.example") is None


async def test_a_change_is_seen_at_the_next_call(tmp_path: Path) -> None:
    """A login during a long build is picked up."""
    source = _source(tmp_path, {"auths": {"r.example": _auth("a", "old")}})
    assert await source.credential("r.example") == Credential("a", "old")
    _source(tmp_path, {"auths": {"r.example": _auth("a", "new")}})
    assert await source.credential("r.example") == Credential("a", "new")


async def test_a_helper_is_run_for_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper gets the host on its standard input; one that has nothing leaves the file's own entry."""
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        '#!/bin/sh\nread host\n[ "$1" = get ] && [ "$host" = r.example ] || exit 1\n'
        'printf \'{"Username": "u", "Secret": "s"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    source = _source(tmp_path, {"credsStore": "test", "auths": {"other.example": _auth("a", "b")}})
    assert await source.credential("r.example") == Credential("u", "s")
    assert await source.credential("other.example") == Credential("a", "b")


@pytest.mark.parametrize(
    "config", ["no json", {"auths": {"r.example": {"auth": "%%%"}}}, {"credHelpers": {"r.example": "absent"}}]
)
async def test_what_cannot_be_read_is_said(tmp_path: Path, config: Any) -> None:
    """A broken file, entry or helper is named, and nothing of its content."""
    with pytest.raises(InvalidOption) as raised:
        await _source(tmp_path, config).credential("r.example")
    assert "config.json" in str(raised.value)


@pytest.mark.parametrize(
    ("proxies", "found"),
    [
        ({"default": {"httpProxy": "http://p", "noProxy": "a,b"}}, {"HTTP_PROXY": "http://p", "NO_PROXY": "a,b"}),
        (
            {"default": {"httpProxy": "x"}, "unix:///d.sock": {"httpsProxy": "y", "ftpProxy": "", "allProxy": "z"}},
            {"HTTPS_PROXY": "y", "ALL_PROXY": "z"},
        ),
        ({"tcp://other": {"httpProxy": "x"}}, {}),
        ({"default": "x"}, {}),
        ([], {}),
        (None, {}),
    ],
)
def test_proxies(tmp_path: Path, proxies: Any, found: dict[str, str]) -> None:
    """An engine's own, by DOCKER_HOST or docker's context, else those for all, each by both of its names."""
    both = found | {name.lower(): value for name, value in found.items()}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    assert docker_proxies({"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": "unix:///d.sock"}) == both
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"desk").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": "unix:///d.sock"}}}))
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies, "currentContext": "desk"}))
    assert docker_proxies({"DOCKER_CONFIG": str(tmp_path)}) == both


def test_where_docker_keeps_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In DOCKER_CONFIG's folder, else in the account's; none at all is an empty one, a broken one is said."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert DockerConfig.from_env({}).folder == tmp_path / ".docker"
    assert DockerConfig.from_env({"DOCKER_CONFIG": "/x"}).folder == Path("/x")
    assert DockerConfig(tmp_path).read() == {}
    (tmp_path / "config.json").write_text("[]")
    assert DockerConfig(tmp_path).read() == {}
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidOption, match="not a readable docker configuration"):
        DockerConfig(tmp_path).read()


@pytest.mark.parametrize("credential", [Credential("user", "password"), Credential("", "an identity token")])
def test_an_entry_holds_the_credential_that_it_was_made_of(credential: Credential) -> None:
    assert credential_of(entry_of(credential)) == credential

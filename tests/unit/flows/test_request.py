"""The request model and the options made from it."""

import argparse
from pathlib import Path

import pytest

from prefect_slipway.flows.cli.options import add_release_options, request_of
from prefect_slipway.flows.request.build import Build
from prefect_slipway.flows.request.cache import Cache
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.infra.domain.errors import InvalidOption, InvalidReference, InvalidVersion, UsageError
from prefect_slipway.infra.domain.version import Bump


def _request(*arguments: str) -> ReleaseRequest:
    parser = argparse.ArgumentParser()
    add_release_options(parser)
    return request_of(parser.parse_args(arguments))


def test_every_field_is_an_option_with_its_description() -> None:
    """What the form offers, the command line offers, with the same words."""
    parser = argparse.ArgumentParser(prog="x")
    add_release_options(parser)
    options = {action.dest: action.help for action in parser._actions}
    for name, field in ReleaseRequest.model_fields.items():
        assert field.description, f"{name} has no description"
        if name not in {"bake", "build", "cache"}:  # a command of its own, and sections
            assert options[name] == field.description.replace("%", "%%")
    for name, field in Build.model_fields.items():
        assert field.description and options[name] == field.description.replace("%", "%%")
    for name, field in Cache.model_fields.items():
        assert field.description and options[f"cache_{name}"] == field.description


def test_nothing_typed_is_the_models_default() -> None:
    """No option has a default of its own."""
    assert _request() == ReleaseRequest()


def test_options_of_the_build_are_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed is relative to here, and allowed by that; what is in Vault needs no permission."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "x")
    request = _request(
        "--secret", "id=a,vault=secret/a#b", "--secret", "id=f,src=file", "--secret", "id=TOKEN",
        "--ssh", "deploy=vault:ssh/deploy#key", "--build-context", "more=dir",
        "--build-context", "base=docker-image://alpine", "--compression", "zstd", "--compression-level", "3",
    )  # fmt: skip
    assert request.build.secrets == ["id=a,vault=secret/a#b", f"id=f,src={tmp_path}/file", "id=TOKEN,env=TOKEN"]
    assert request.build.ssh == ["deploy=vault:ssh/deploy#key"]
    assert request.build.contexts == {"more": f"{tmp_path}/dir", "base": "docker-image://alpine"}
    assert request.build.allow == [f"fs.read={tmp_path}/file", "env=TOKEN", f"fs.read={tmp_path}/dir"]
    assert request.build.output == {"compression": "zstd", "compression-level": "3"}
    assert "ssh" in _request("--ssh", "default").build.allow


def test_options_of_the_cache_are_a_section() -> None:
    """One word turns it on or off; its repository has no tag, and its limit is a number."""
    request = _request("--cache", "off", "--cache-repository", "r.example/cache", "--cache-timeout-s", "9")
    assert request.cache == Cache(mode="off", repository="r.example/cache", timeout_s=9)
    with pytest.raises(InvalidOption, match="tag or digest"):
        _request("--cache-repository", "r.example/cache:1")
    with pytest.raises(InvalidReference):
        _request("--cache-repository", "r.example/UPPER")


def test_options_become_fields() -> None:
    """Flags, choices, repeated options and pairs arrive as their types."""
    request = _request(
        "app", "--bump", "auto", "--allow-dirty", "--build-arg", "A=1", "--build-arg", "B=x=y",
        "--platform", "linux/amd64", "--platform", "linux/arm64", "--image", "r.example/app",
        "--credentials", "vault:kv/a", "--credentials", "docker.io=vault:kv/b",
    )  # fmt: skip
    assert request.source == "app"
    assert request.bump is Bump.AUTO
    assert request.allow_dirty
    assert request.build_args == {"A": "1", "B": "x=y"}
    assert request.platforms == ["linux/amd64", "linux/arm64"]
    assert request.credentials == ["vault:kv/a", "docker.io=vault:kv/b"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"image": "registry.example/Upper"}, InvalidReference),
        ({"image": "registry.example/app:1.0.0"}, InvalidOption),
        ({"version": "1.2"}, InvalidVersion),
        ({"version": "v1.2.3"}, InvalidVersion),
        ({"prerelease_token": "r c"}, InvalidVersion),
        ({"bump": "huge"}, InvalidOption),
        ({"only_new": True, "again": True}, InvalidOption),
        ({"version": "1.0.0", "prerelease": True}, InvalidOption),
        ({"builder_cert": "c.pem"}, InvalidOption),
        ({"unheard_of": 1}, InvalidOption),
    ],
)
def test_bad_input_is_a_usage_error_that_says_what(values: dict[str, object], error: type[UsageError]) -> None:
    """Each refusal is a named cause with exit code 2, not a validation dump."""
    with pytest.raises(error) as raised:
        ReleaseRequest.read(values)
    assert raised.value.exit_code == 2
    assert str(raised.value)


def test_a_build_arg_without_a_value_is_refused() -> None:
    """`--build-arg KEY` would silently take a value from somewhere else."""
    with pytest.raises(InvalidOption, match="--build-arg"):
        _request("--build-arg", "KEY")


@pytest.mark.parametrize("platform", ["linux/arm65", "linux/amd64,linux/arm65", " "])
def test_a_platform_that_there_is_not_is_refused(platform: str) -> None:
    """Before anything is begun, by name."""
    with pytest.raises(InvalidOption, match="there is no platform"):
        ReleaseRequest.read({"platforms": [platform]})


def test_platforms_may_share_an_option() -> None:
    """As docker's --platform takes them."""
    request = ReleaseRequest.read({"platforms": ["linux/amd64, linux/arm64", "linux/arm/v7"]})
    assert request.platforms == ["linux/amd64", "linux/arm64", "linux/arm/v7"]

"""`slipway build`'s options: what docker's fingers type becomes the request that was meant."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from flows.cli.build_options import add_build_options, build_request
from flows.domain.errors import InvalidOption
from infra.buildkit import (
    BuildRequest,
    CacheEntry,
    DockerOutput,
    ImagePush,
    ImageStore,
    LocalOutput,
    OciOutput,
    SecretEnv,
    SecretFile,
    SshSource,
    TarOutput,
)


def _request(*arguments: str, **env: str) -> BuildRequest:
    parser = argparse.ArgumentParser()
    add_build_options(parser)
    return build_request(parser.parse_args([".", *arguments]), None, env)


def test_nothing_but_a_context_stays_in_the_cache() -> None:
    """No output unless one is asked for."""
    assert _request() == BuildRequest(context=Path())


def test_values_that_docker_knows() -> None:
    """Pairs, sizes, hosts, platforms and variables of the environment."""
    request = _request(
        *("--build-arg", "A=1", "--build-arg", "FROM_ENV", "--build-arg", "UNSET"),
        *("--platform", "linux/amd64,linux/arm64"),
        *("--add-host", "db:10.0.0.1", "--shm-size", "64m", "--ulimit", "nofile=1024:2048", "--no-cache-filter", "a,b"),
        *("--build-context", "base=docker-image://alpine", "--build-context", "src=/src", "--ssh", "default"),
        *("--ssh", "work=/a,/b", "--ssh", "raw=/s,raw=true", "--add-host", "six=[::1]", "--add-host", "h:host-gateway"),
        *("--secret", "id=t,src=/t", "--secret", "id=e,env=TOKEN", "--secret", "id=TOKEN"),
        FROM_ENV="x",
        SOURCE_DATE_EPOCH="7",
    )  # fmt: skip
    assert request.build_args == {"A": "1", "FROM_ENV": "x"}
    assert request.platforms == ("linux/amd64", "linux/arm64")
    assert request.add_hosts == {"db": "10.0.0.1", "six": "::1", "h": "host-gateway"}
    assert request.shm_size == 64 << 20
    assert request.no_cache_stages == ("a", "b")
    assert request.contexts == {"base": "docker-image://alpine", "src": Path("/src")}
    assert request.ssh == {
        "default": SshSource(),
        "work": SshSource((Path("/a"), Path("/b"))),
        "raw": SshSource((Path("/s"),), raw=True),
    }
    assert request.secrets == {"t": SecretFile(Path("/t")), "e": SecretEnv("TOKEN"), "TOKEN": SecretEnv("TOKEN")}
    assert request.source_date_epoch == 7


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["--push", "-t", "r.example/a:1"], ImagePush("r.example/a:1")),
        (["--push", "-t", "127.0.0.1:5000/a"], ImagePush("127.0.0.1:5000/a", insecure=True)),
        (["--push", "-t", "r.example/a:1", "-t", "r.example/a:2"], ImagePush("r.example/a:1,r.example/a:2")),
        (["-o", "type=image,name=r.example/a,push=true"], ImagePush("r.example/a", keep=True)),
        (["--load", "-t", "a"], ImageStore("a")),
        (["-o", "out"], LocalOutput(Path("out"))),
        (["-o", "type=tar,dest=x.tar"], TarOutput(Path("x.tar"))),
        (["-o", "type=oci,dest=x,tar=false", "-t", "a"], OciOutput(Path("x"), "a", tar=False)),
        (["-o", "type=docker,dest=x.tar", "-t", "a"], DockerOutput(Path("x.tar"), "a")),
    ],
)
def test_outputs(arguments: list[str], output: object) -> None:
    """Each form of --output, and its short ones."""
    assert _request(*arguments).outputs == (output,)


def test_caches() -> None:
    """References and CSV."""
    request = _request(
        *("--cache-from", "r.example/c", "--cache-to", 'type=local,dest=c,"x=a,b"'),
    )
    assert request.cache_imports == (CacheEntry("registry", {"ref": "r.example/c"}),)
    assert request.cache_exports == (CacheEntry("local", {"dest": "c", "x": "a,b"}),)


@pytest.mark.parametrize(
    ("arguments", "attests"),
    [
        ([], {}),
        (["--sbom", "true", "--provenance", "mode=max"], {"sbom": "", "provenance": "mode=max"}),
        (["--sbom=1", "--provenance=f"], {"sbom": ""}),
        (["--sbom="], {}),
        (["--sbom=generator=r.example/scan:1,X=y"], {"sbom": "generator=r.example/scan:1,X=y"}),
        (["--attest", "type=sbom"], {"sbom": ""}),
        (["--attest", "generator=g,TYPE=sbom"], {"sbom": "generator=g"}),
        (["--attest", 'type=sbom,"LIST=a,b",disabled=false'], {"sbom": '"LIST=a,b"'}),
        (["--attest", "type=sbom,disabled=true,generator=g"], {}),
    ],
)
def test_attestations(arguments: list[str], attests: dict[str, str]) -> None:
    """The long and the short forms; what is disabled is not asked for."""
    assert _request(*arguments).attests == attests


@pytest.mark.parametrize(
    "arguments",
    [
        ["--push"],
        ["-o", "type=nonsense"],
        ["-o", "type=tar"],
        ["--secret", "src=x"],
        ["--shm-size", "much"],
        ["--add-host", "x"],
        ["--label", "x"],
        ["--sbom", "maybe"],
        ["--attest", "sbom"],
        ["--attest", "generator=g"],
        ["--attest", "type=sbom,disabled=maybe"],
        ["--attest", "type=sbom,generator=g", "--sbom", "true"],
        ["--attest", "type=sbom,generator=g", "--sbom", "false"],
    ],
)
def test_what_cannot_be_meant_is_said(arguments: list[str]) -> None:
    """A usage error that names the option."""
    with pytest.raises(InvalidOption):
        _request(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--build-context", "lib=https://user:S3CRET@git.example.com/lib.git"),
        ("--build-context", "lib=https://S3CRET@git.example.com/lib.git"),
        ("-f", "https://example.com/Dockerfile?token=S3CRET"),
        ("--cache-from", "type=gha,url=https://user:S3CRET@cache.example.com"),
        ("--cache-to", "type=azblob,account_url=https://acc.example.com/?sv=1&sig=S3CRET"),
        ("--output", "type=image,name=https://user:S3CRET@registry.example.com/app"),
    ],
)
def test_a_url_with_a_secret_is_refused(arguments: tuple[str, ...]) -> None:
    """The daemon would keep it; the message names the option and the way that leaves no trace."""
    with pytest.raises(InvalidOption, match="--secret id=GIT_AUTH_TOKEN") as caught:
        _request(*arguments)
    assert "S3CRET" not in str(caught.value)

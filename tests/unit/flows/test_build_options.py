"""`slipway build`'s options: what docker's fingers type becomes the request that was meant."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.build_options.outputs import Surroundings
from prefect_slipway.flows.cli.build import _progress, add_options
from prefect_slipway.flows.cli.build_options import Asked, build_request
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.docker_engine import DockerEngine
from prefect_slipway.infra.buildkit.build.outputs import (
    DockerOutput,
    EngineLoad,
    ImagePush,
    ImageStore,
    LocalOutput,
    OciOutput,
    Output,
    TarOutput,
)
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.session.sources import SecretEnv, SecretFile, SshSource
from prefect_slipway.infra.domain.errors import InvalidOption, UsageError
from prefect_slipway.infra.domain.platform import this_machine

HERE = DockerEngine(Path("/here.sock"))


def typed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def asked(*arguments: str, engine: bool = False, proxies: dict[str, str] | None = None, **env: str) -> Asked:
    def local_engine(context: str) -> DockerEngine:
        return HERE if not context else DockerEngine(Path(f"/{context}.sock"))

    with contextlib.ExitStack() as exits:
        args = typed(".", *arguments) if "--" not in arguments else typed(*[a for a in arguments if a != "--"])
        return build_request(args, None, env, Surroundings(engine, local_engine), exits, proxies or {})


def request(*arguments: str, **more: Any) -> BuildRequest:
    return asked(*arguments, **more).request


def test_nothing_but_a_context_stays_in_the_cache() -> None:
    """No output unless one is asked for; a Docker engine keeps the image, as it does for docker buildx."""
    assert request() == BuildRequest(context=Path())
    assert request(engine=True).outputs == (ImageStore(""),)
    assert request("-t", "a", "-t", "b", engine=True).outputs == (ImageStore("a,b"),)
    assert request("-o", "type=cacheonly", engine=True).outputs == ()
    assert request(engine=True, BUILDX_NO_DEFAULT_LOAD="1").outputs == ()
    assert request("--call", "outline", engine=True).outputs == ()


def test_values_that_docker_knows() -> None:
    """Pairs, sizes, hosts, platforms and variables of the environment."""
    found = request(
        *("--build-arg", "A=1", "--build-arg", "FROM_ENV", "--build-arg", "UNSET"),
        *("--label", "alone", "--label", "l=2"),
        *("--platform", "linux/amd64,arm64", "--platform", "local"),
        *("--add-host", "db:10.0.0.1,other=10.0.0.2", "--shm-size", "1.5g", "--no-cache-filter", "a,b"),
        *("--ulimit", "nofile=1024:2048", "--ulimit", "core=1", "--ulimit", "nofile=5"),
        *("--add-host", "db:10.0.0.3", "--add-host", "six=[::1]", "--add-host", "h:host-gateway", "--add-host", ""),
        *("--ssh", "default", "--ssh", "work=/a,/b", "--ssh", "raw=/s,raw=true", "--ssh", ""),
        *("--secret", "ID=t,SRC=/t", "--secret", "id=e,env=TOKEN", "--secret", "id=TOKEN", "--secret", "id=file"),
        *("--secret", "type=env,id=v,source=NAME", "--resource", "memory=1g", "-m", "2g", "--resource", "cpu-quota=5"),
        FROM_ENV="x",
        TOKEN="y",
        SOURCE_DATE_EPOCH="7",
    )  # fmt: skip
    assert found.build_args == {"A": "1", "FROM_ENV": "x"}
    assert found.labels == {"alone": "", "l": "2"}
    assert found.platforms == ("linux/amd64", "linux/arm64", this_machine())
    hosts = [("db", "10.0.0.1"), ("other", "10.0.0.2"), ("db", "10.0.0.3"), ("six", "::1"), ("h", "host-gateway")]
    assert list(found.add_hosts) == hosts
    assert found.shm_size == 3 << 29
    assert found.ulimits == ("core=1:1", "nofile=5:5")
    assert found.resources == {"memory": str(1 << 30), "cpuquota": "5"}
    assert found.no_cache_stages == ("a", "b")
    assert found.ssh == {
        "default": SshSource(),
        "work": SshSource((Path("/a"), Path("/b"))),
        "raw": SshSource((Path("/s"),), raw=True),
    }
    assert found.secrets == {
        "t": SecretFile(Path("/t")),
        "e": SecretEnv("TOKEN"),
        "TOKEN": SecretEnv("TOKEN"),
        "file": SecretFile(Path("file")),
        "v": SecretEnv("NAME"),
    }
    assert found.source_date_epoch == 7


def test_further_contexts() -> None:
    """An image's name is the short one that the frontend looks for; what is neither an image nor remote is a folder."""
    found = request(
        *("--build-context", "docker.io/library/base=docker-image://alpine", "--build-context", "src=/src"),
        *("--build-context", "docker.io/team/app:latest=git@example.com:a/b", "--build-context", "r.example/x:1=./y"),
        *("--build-context", "hub=github.com/a/b", "--build-context", "layout=oci-layout:///l"),
    )
    assert found.contexts == {
        "base": "docker-image://alpine",
        "src": Path("/src"),
        "team/app": "git@example.com:a/b",
        "r.example/x:1": Path("y"),
        "hub": "github.com/a/b",
        "layout": "oci-layout:///l",
    }


def test_where_the_context_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder goes first; then what a daemon fetches, for which an SSH agent is offered where it needs one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "github.com" / "a").mkdir(parents=True)
    assert request("--", "github.com/a").context == Path("github.com/a")
    assert request("--", "github.com/b").context == "github.com/b"
    assert request("--", "https://example.com/x.tar").context == "https://example.com/x.tar"
    assert request("--", "nowhere").context == Path("nowhere")
    over_ssh = request("--", "git@example.com:a/b.git#main")
    assert (over_ssh.context, over_ssh.ssh) == ("git@example.com:a/b.git#main", {"default": SshSource()})
    assert request("--", "ssh://git@example.com/a", "--ssh", "k=/k").ssh == {"k": SshSource((Path("/k"),))}


def test_where_the_dockerfile_is() -> None:
    """Relative to here for a folder, to the source for what is remote; at a URL the daemon downloads it."""
    assert request("-f", "some/File").dockerfile == Path("some/File").absolute()
    assert request("--", "https://example.com/x.git", "-f", "some/File").dockerfile == Path("some/File")
    there = asked("-f", "https://example.com/Dockerfile")
    assert (there.dockerfile, there.request.dockerfile) == ("https://example.com/Dockerfile", Path("Dockerfile"))
    assert asked("-f", "").request.dockerfile == Path("Dockerfile")


def test_proxies_of_dockers_configuration() -> None:
    """They are build arguments, unless one of the name is given, in whatever case."""
    proxies = {"HTTP_PROXY": "p", "http_proxy": "p", "NO_PROXY": "n"}
    assert request("--build-arg", "Http_Proxy=mine", proxies=proxies).build_args == {
        "Http_Proxy": "mine",
        "NO_PROXY": "n",
    }
    assert request(proxies=proxies).build_args == proxies


def test_variables_that_docker_reads() -> None:
    """A default platform; a time that is no number goes to the frontend, which knows words for it or refuses it."""
    assert request(DOCKER_DEFAULT_PLATFORM="linux/arm64").platforms == ("linux/arm64",)
    assert request("--platform", "arm/v6", DOCKER_DEFAULT_PLATFORM="linux/arm64").platforms == ("arm/v6",)
    assert request(SOURCE_DATE_EPOCH="context").build_args == {"SOURCE_DATE_EPOCH": "context"}
    given = request("--build-arg", "SOURCE_DATE_EPOCH=5", SOURCE_DATE_EPOCH="7")
    assert (given.build_args, given.source_date_epoch) == ({"SOURCE_DATE_EPOCH": "5"}, None)
    assert request("--build-arg", "BUILDKIT_INLINE_CACHE=1").cache_exports == (CacheEntry("inline"),)


def test_switches_take_a_value() -> None:
    """As Go's flags do: `--push=false`; the last one counts; a word behind one is no value of it."""
    assert request("--push=false", "--load=0", "--pull=T", "--no-cache=1").outputs == ()
    assert request("--pull=T").pull
    assert not request("--pull", "--pull=false").pull
    assert typed("--push", "folder").context == "folder"
    assert asked("--check=true").call == asked("--call", "check").call == ("lint", "", False)
    assert asked("--check=false").call is None
    for wrong in ("--push=maybe", "--pu", "--plat"):
        with pytest.raises(SystemExit):
            typed(".", wrong)


def test_what_docker_takes_and_passes_over() -> None:
    """Options of docker's old builder are no mistakes; those that a reader may rely on are said."""
    found = asked(
        "--rm", "--force-rm=false", "--compress", "--squash", "--isolation", "x", "--security-opt", "y", "-c", "5"
    )
    assert found.warnings == tuple(
        f"--{name} has no effect with BuildKit" for name in ("isolation", "security-opt", "squash")
    )
    assert found.request.resources == {"cpushares": "5"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--push", "-t", "r.example/a:1"], ImagePush("r.example/a:1")),
        (["--push", "-t", "127.0.0.1:5000/a"], ImagePush("127.0.0.1:5000/a", insecure=True)),
        (["--push", "-t", "r.example/a:1", "-t", "r.example/a:2"], ImagePush("r.example/a:1,r.example/a:2")),
        (["-o", "type=image,name=r.example/a,push=true"], ImagePush("r.example/a", keep=True)),
        (["-o", "type=image,name=r.example/a,push=1"], ImagePush("r.example/a", keep=True)),
        (["-o", "TYPE=image,Name=r.example/a,PUSH=True"], ImagePush("r.example/a", keep=True)),
        (["-o", "type=image,name=r.example/a,push=F"], ImageStore("r.example/a")),
        (["-o", "type=image,name=r.example/a,push=0", "--push"], ImagePush("r.example/a", keep=True)),
        (["-o", "type=image,name=r.example/a", "-t", "r.example/b", "--push"], ImagePush("r.example/b", keep=True)),
        (["-o", "type=registry,name=r.example/a,push-by-digest=T"], ImagePush("r.example/a", by_digest=True)),
        (["--load", "-t", "a"], EngineLoad(HERE, "a")),
        (["-o", "type=docker"], EngineLoad(HERE, "")),
        (["-o", "type=docker,context=other"], EngineLoad(DockerEngine(Path("/other.sock")), "")),
        (["--load", "-o", "type=docker,name=x"], EngineLoad(HERE, "x")),
        (["-o", "out"], LocalOutput(Path("out"))),
        (["-o", "dest=x"], LocalOutput(Path("dest=x"))),
        (["-o", "type=local,dest=x,mode=delete"], LocalOutput(Path("x"), delete=True)),
        (["-o", "type=tar,dest=x.tar"], TarOutput(Path("x.tar"))),
        (["-o", "-"], TarOutput(sys.stdout.buffer)),
        (["-o", "type=tar"], TarOutput(sys.stdout.buffer)),
        (["-o", "type=oci"], OciOutput(sys.stdout.buffer)),
        (["-o", "type=oci,dest=x,tar=false", "-t", "a"], OciOutput(Path("x"), "a", tar=False)),
        (["-o", "type=oci,dest=x,TAR=0"], OciOutput(Path("x"), tar=False)),
        (["-o", "type=docker,dest=x.tar", "-t", "a"], DockerOutput(Path("x.tar"), "a")),
        (["-o", "type=docker,dest=-"], DockerOutput(sys.stdout.buffer)),
        (['--output=type=oci,"dest=a,b",compression=zstd'], OciOutput(Path("a,b"), attributes={"compression": "zstd"})),
    ],
)  # fmt: skip
def test_outputs(arguments: list[str], expected: Output) -> None:
    """Each form of --output, and its short ones; a tag goes before a name."""
    found = request(*arguments).outputs
    # Each test has a standard output of its own.
    assert [_without_stream(output) for output in found] == [_without_stream(expected)]
    assert request("-o", "").outputs == ()


def _without_stream(output: Output) -> Any:
    if isinstance(getattr(output, "dest", None), Path | None):
        return output
    return type(output), {**output._asdict(), "dest": "a stream"}


def test_an_output_that_may_be_cleared_anywhere() -> None:
    """--allow buildx.local.delete is ours alone: the daemon is not told."""
    found = request("-o", "type=local,dest=/x,mode=delete", "--allow", "buildx.local.delete", "--allow", "device=gpu")
    assert found.outputs == (LocalOutput(Path("/x"), delete=True, anywhere=True),)
    assert found.allow == ("device=gpu",)


def test_caches() -> None:
    """References, several at once, and CSV; an empty one is none."""
    found = request(
        *("--cache-from", "r.example/c,r.example/d", "--cache-from", "", "--cache-from", "TYPE=gha,Scope=S"),
        *("--cache-to", 'type=local,dest=c,"x=a,b"'),
    )
    assert [(entry.type, entry.attributes) for entry in found.cache_imports] == [
        ("registry", {"ref": "r.example/c"}),
        ("registry", {"ref": "r.example/d"}),
        ("gha", {"scope": "S"}),
    ]
    assert found.cache_exports == (CacheEntry("local", {"dest": "c", "x": "a,b"}),)


def test_annotations() -> None:
    """A level may have a platform; several levels are several annotations."""
    found = request(
        *("--annotation", "a=b=c", "--annotation", "index,manifest[linux/x86_64]:x=y", "--annotation", ""),
        *("--annotation", "index-descriptor:z="),
    )
    assert found.annotations == {"a": "b=c", "index:x": "y", "manifest[linux/amd64]:x": "y", "index-descriptor:z": ""}


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
        (["--attest", "type=sbom", "--provenance", "mode=max"], {"sbom": "", "provenance": "mode=max"}),
        (["--attest", "type=provenance,mode=max", "--provenance=false"], {"provenance": "mode=max"}),
        (["--attest", "type=sbom,disabled=true", "--sbom=true"], {}),
        (["--attest", "type=sbom,generator=g", "--attest", "type=sbom"], {"sbom": "generator=g"}),
    ],
)
def test_attestations(arguments: list[str], attests: dict[str, str]) -> None:
    """The long and the short forms; of a type the first one counts, and what is disabled is not asked for."""
    assert request(*arguments).attests == attests


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("build", None),
        ("", None),
        ("check", ("lint", "", False)),
        ("outline,format=json", ("outline", "json", False)),
        ("ignorestatus=1,check", ("lint", "", True)),
    ],
)
def test_calls(text: str, call: object) -> None:
    """A method, and how its answer is wanted."""
    assert asked("--call", text).call == asked("--print", text).call == call


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """`quiet` prints the image's id, `none` nothing at all; the environment has a default."""
    monkeypatch.delenv("BUILDKIT_PROGRESS", raising=False)
    for arguments, shown, quiet in (
        ([], "auto", False),
        (["-q"], "quiet", True),
        (["--quiet=false", "--progress", "plain"], "plain", False),
        (["--progress", "quiet"], "quiet", True),
        (["--progress", "none"], "quiet", False),
    ):
        args = typed(".", *arguments)
        assert (_progress(args), args.quiet) == (shown, quiet)
    with pytest.raises(InvalidOption, match="cannot be used together"):
        _progress(typed(".", "-q", "--progress", "plain"))
    monkeypatch.setenv("BUILDKIT_PROGRESS", "plain")
    assert _progress(typed(".")) == "plain"
    assert _progress(typed(".", "--progress", "tty")) == "tty"
    assert _progress(typed(".", "-q")) == "quiet"
    monkeypatch.setenv("BUILDKIT_PROGRESS", "fancy")
    with pytest.raises(InvalidOption, match="BUILDKIT_PROGRESS is 'fancy'"):
        _progress(typed("."))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--push"],
        ["-t", "A"],
        ["-t", ""],
        ["-o", "type=nonsense"],
        ["-o", "type=local"],
        ["-o", "type=local,dest=-"],
        ["-o", "type=local,dest=x,mode=move"],
        ["-o", "type=oci,tar=false"],
        ["-o", "type=image,push=maybe"],
        ["-o", "dest=x,name=y"],
        ["-o", "-", "-o", "type=oci"],
        ["-o", 'type=tar,"dest'],
        ["-o", "x", "--iidfile", "i"],
        ["-o", "-", "--iidfile", "i"],
        ["--secret", "src=x"],
        ["--secret", "id=a,type=vault"],
        ["--secret", "id=a,from=x"],
        ["--secret", "a"],
        ["--ssh", "a", "--ssh", "a=/x"],
        ["--ssh", "a,raw=perhaps"],
        ["--shm-size", "much"],
        ["--ulimit", "files=1"],
        ["--ulimit", "nofile=2:1"],
        ["--ulimit", "nofile=" + "9" * 5000],
        ["--resource", "disk=1"],
        ["--resource", "memory"],
        ["--cpu-quota", "half"],
        ["--add-host", "x"],
        ["--add-host", "x:y"],
        ["--add-host", "x:1.1.1.1,2.2.2.2"],
        ["--add-host", ":1.1.1.1"],
        ["--label", "=x"],
        ["--build-arg", "=1"],
        ["--build-context", "x"],
        ["--build-context", "Upper=."],
        ["--annotation", "x"],
        ["--annotation", "image:a=b"],
        ["--annotation", "manifest[beos]:a=b"],
        ["--platform", "beos"],
        ["--platform", ""],
        ["--network", "mine"],
        ["--allow", "everything"],
        ["--no-cache", "--no-cache-filter", "a"],
        ["--cache-from", "ref=x"],
        ["--cache-to", "type=local,dest"],
        ["--sbom", "maybe"],
        ["--attest", "sbom"],
        ["--attest", "generator=g"],
        ["--attest", "type=sbom,disabled=maybe"],
        ["--call", "check,outline"],
        ["--call", "check,ignorestatus=maybe"],
        ["--call", "check,form=json"],
    ],
    ids=" ".join,
)
def test_what_docker_refuses_is_refused(arguments: list[str]) -> None:
    """By a usage error that says what is wrong; no secret is shown."""
    with pytest.raises(UsageError) as error:
        request(*arguments)
    assert error.value.action


def test_an_archive_is_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output has to be a file or a pipe."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(InvalidOption, match="would write to the terminal"):
        request("-o", "-")


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
        request(*arguments)
    assert "S3CRET" not in str(caught.value)

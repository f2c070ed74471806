"""A build goes through, over every transport, and says what it did."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.buildkit.build.events import BuildEvent, Step
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Anonymous
from tests.certificates import make_certificates
from tests.contract.buildkit.parts import BASE, Engine, Registry, build, older_than, output_of, run
from tests.contract.buildkit.relay import Relay

Context = Callable[[str], Path]


async def test_a_docker_engine_builds(engine: Engine, context: Context) -> None:
    """A build on a Docker engine's socket gives its steps and their output."""
    events: list[BuildEvent] = []
    outcome = await build(engine.address, context(BASE + run("echo hello")), events=events, no_cache=True)
    assert (outcome.steps, outcome.cached_steps) == (2, 0)
    assert output_of(events) == "hello\n"
    names = [event.name for event in events if isinstance(event, Step) and event.completed]
    assert any(name.startswith("[1/2] COPY busybox") for name in names)


async def test_a_unix_socket_builds(engine: Engine, context: Context, tmp_path: Path) -> None:
    """A buildkitd on a unix socket is a builder."""
    async with Relay(engine.upstream, path=tmp_path / "b.sock") as relay:
        assert (await build(relay.address, context(BASE))).steps == 1


async def test_a_tcp_port_builds(engine: Engine, context: Context) -> None:
    """A buildkitd on a TCP port without TLS is a builder."""
    async with Relay(engine.upstream) as relay:
        assert (await build(relay.address, context(BASE))).steps == 1


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mtls"])
async def test_tls_builds(engine: Engine, context: Context, tmp_path: Path, mutual: bool) -> None:
    """A buildkitd behind TLS is a builder, with and without a client certificate."""
    made = make_certificates(tmp_path / "tls")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.cert, made.key)
    server.set_alpn_protocols(["h2"])
    if mutual:
        server.load_verify_locations(made.ca)
        server.verify_mode = ssl.CERT_REQUIRED
    files = TlsFiles(made.ca, made.cert, made.key) if mutual else TlsFiles(made.ca)
    async with (
        Relay(engine.upstream, tls=server) as relay,
        BuildKit(BuilderAddress.parse(relay.address, files)) as builder,
    ):
        outcome = await builder.build(BuildRequest(context(BASE)), Anonymous())
    assert outcome.steps == 1


async def test_a_second_build_is_cached(engine: Engine, context: Context) -> None:
    """The same source builds from the cache, and the outcome says so."""
    folder = context(BASE + run("echo twice"))
    await build(engine.address, folder)
    outcome = await build(engine.address, folder)
    assert (outcome.steps, outcome.cached_steps) == (2, 2)


async def test_no_line_is_lost(engine: Engine, context: Context) -> None:
    """Every line a step writes has arrived when the build returns, also the last ones of a quick step."""
    events: list[BuildEvent] = []
    script = "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done"
    await build(engine.address, context(BASE + run(script)), events=events, no_cache=True)
    assert output_of(events).splitlines() == [f"line {number}" for number in range(5000)]


async def test_dockerignore_is_honoured(engine: Engine, context: Context) -> None:
    """What .dockerignore excludes does not get to the daemon; exceptions do."""
    folder = context("FROM scratch\nCOPY . /\n" + run("/bin/find /data | /bin/sort"))
    (folder / "bin").mkdir()
    (folder / "busybox").rename(folder / "bin" / "busybox")
    for applet in ("find", "sort"):
        (folder / "bin" / applet).symlink_to("busybox")
    for name in ("keep", "drop.log", "kept.log", "deep/er/drop.log", "cache/x"):
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_text(name)
    (folder / ".dockerignore").write_text("# logs\n**/*.log\n!data/kept.log\ndata/cache\n")
    events: list[BuildEvent] = []
    await build(engine.address, folder, events=events)
    assert output_of(events).split() == ["/data", "/data/deep", "/data/deep/er", "/data/keep", "/data/kept.log"]


async def test_options_reach_the_frontend(engine: Engine, registry: Registry, context: Context) -> None:
    """Target, build arguments, labels, annotations and another Dockerfile's name do what they say."""
    folder = context("FROM nothing")
    (folder / "docker").mkdir()
    (folder / "docker" / "Other").write_text(
        f"{BASE.replace('scratch', 'scratch AS wanted')}ARG WHO\nENV GREETED=$WHO\nFROM scratch AS other\nCOPY nope /\n"
    )
    await build(
        engine.address,
        folder,
        dockerfile=Path("docker/Other"),
        target="wanted",
        build_args={"WHO": "wörld = 1"},
        labels={"org.example.label": "a,b=c"},
        annotations={"org.opencontainers.image.version": "1.2.3"},
        output=ImagePush(f"{registry.host}/options:1.2.3"),
        credentials=registry.credentials,
    )
    config = registry.config("options", "1.2.3")["config"]
    assert "GREETED=wörld = 1" in config["Env"]
    assert config["Labels"] == {"org.example.label": "a,b=c"}
    assert registry.manifest("options", "1.2.3")["annotations"] == {"org.opencontainers.image.version": "1.2.3"}


async def test_the_same_source_gives_the_same_digest(engine: Engine, registry: Registry, context: Context) -> None:
    """With SOURCE_DATE_EPOCH and rewritten timestamps a rebuild without any cache gives the same bytes."""
    if await older_than(engine, 0, 13):
        pytest.skip("before v0.13 a daemon cannot set the times of files")
    folder = context(BASE + run("echo now > /file"))
    digests = {
        (
            await build(
                engine.address,
                folder,
                no_cache=True,
                source_date_epoch=1_700_000_000,
                output=ImagePush(f"{registry.host}/repeat", by_digest=True, rewrite_timestamp=True),
                credentials=registry.credentials,
            )
        ).digest
        for _ in range(2)
    }
    assert len(digests) == 1
    assert registry.config("repeat", digests.pop())["created"] == "2023-11-14T22:13:20Z"


async def test_a_daemon_tells_of_itself(engine: Engine) -> None:
    """The daemon's version and its workers with their platforms can be asked for."""
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        info, workers = await builder.info(), await builder.workers()
    assert info.version
    assert any(platform.startswith("linux/") for worker in workers for platform in worker.platforms)


async def test_builds_share_a_connection(engine: Engine, context: Context, tmp_path: Path) -> None:
    """Several builds run at the same time on one connection, each with its own session."""
    import asyncio

    folder = context(BASE + "ARG N\n" + run("echo $N"))
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        logs: list[list[BuildEvent]] = [[], [], []]
        async with asyncio.TaskGroup() as tasks:
            for number, log in enumerate(logs):
                request = BuildRequest(folder, build_args={"N": f"build {number}"}, network="none", no_cache=True)
                tasks.create_task(builder.build(request, Anonymous(), log.append))
    assert [output_of(log) for log in logs] == ["build 0\n", "build 1\n", "build 2\n"]

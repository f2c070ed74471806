"""What a daemon keeps can be asked for and cleared: cache and history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent, Warned
from prefect_slipway.infra.buildkit.build.outputs import ImagePush, LocalOutput, OciOutput
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.buildkit.housekeeping import RecordedBuild
from prefect_slipway.infra.buildkit.http2.byte_stream import AsyncioStream
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, GrpcServer, Handler, ServerCall, decode
from prefect_slipway.infra.buildkit.http2.unary import send, unary
from prefect_slipway.infra.buildkit.wire.control_pb2 import (
    BuildkitVersion,
    InfoRequest,
    InfoResponse,
    SolveRequest,
    SolveResponse,
    StatusRequest,
    StatusResponse,
    Vertex,
)
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import BuilderConflict, BuilderTooOld, StepFailed
from tests.contract.buildkit.parts import BASE, Engine, build, run
from tests.contract.buildkit.relay import listener
from tests.engine import remove_snapshot
from tests.source_policies import policy, rule

Context = Callable[[str], Path]


def connect(engine: Engine) -> BuildKit:
    return BuildKit(BuilderAddress.parse(engine.address))


async def recorded(builder: BuildKit) -> list[RecordedBuild]:
    return [build async for build in builder.history()]


async def test_disk_usage_and_prune(engine: Engine, context: Context) -> None:
    """What the cache consists of is told; pruning takes what a filter names, gives it back, and no more."""
    await build(engine.address, context(BASE + run("/bin/busybox dd if=/dev/zero of=/big bs=1M count=3")))
    async with connect(engine) as builder:
        (big,) = [record for record in await builder.disk_usage() if "of=/big" in record.description]
        assert big.size >= 3 << 20
        assert (big.kind, big.in_use) == ("regular", False)
        assert [record.id for record in await builder.disk_usage([f"id=={big.id}"])] == [big.id]
        removed = [record async for record in builder.prune([f"id=={big.id}"])]
        assert [record.id for record in removed] == [big.id]
        assert big.id not in {record.id for record in await builder.disk_usage()}


@pytest.mark.parametrize("kind", ["committed", "mounted"])
async def test_a_broken_record_fails_one_build(engine: Engine, context: Context, tmp_path: Path, kind: str) -> None:
    """A cached step whose snapshot is gone, as after a build that was cancelled during a commit, is built anew by the
    next build, and nothing else is."""
    if not engine.is_docker:
        pytest.skip("the snapshots of another daemon are out of reach")
    folder = context(BASE + run(f"echo {kind} > /kept") + run(f"echo lost {kind} > /lost"))
    await build(engine.address, folder)
    async with connect(engine) as builder:
        (lost,) = [record for record in await builder.disk_usage() if f"echo lost {kind}" in record.description]
    remove_snapshot(engine.socket, lost.id)
    output = OciOutput(tmp_path / "o.tar") if kind == "committed" else LocalOutput(tmp_path / "out")
    with pytest.raises(BuilderConflict, match="lost a step's result"):
        await build(engine.address, folder, output=output)
    outcome = await build(engine.address, folder, output=output)
    assert outcome.cached_steps == outcome.steps - 1


async def test_history(engine: Engine, context: Context) -> None:
    """A build is remembered: when it was, and how it ended."""
    folder = context(BASE + run("echo remember me; exit 3"))
    async with connect(engine) as builder:
        before = {found.ref for found in await recorded(builder)}
        with pytest.raises(StepFailed):
            await builder.build(BuildRequest(folder, network="none"), Anonymous())
        (found,) = [found for found in await recorded(builder) if found.ref not in before]
        assert "exit code: 3" in found.error
        assert found.completed is not None
        assert found.completed >= found.created


@asynccontextmanager
async def old_daemon(path: Path, handlers: dict[str, Handler]) -> AsyncIterator[BuildKit]:
    """A daemon that knows only `handlers`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await GrpcServer(handlers).serve(AsyncioStream(reader, writer))

    async with listener(answer, path), BuildKit(BuilderAddress.parse(f"unix://{path}")) as builder:
        yield builder


async def test_a_build_that_was_over_at_once(tmp_path: Path, context: Context) -> None:
    """A daemon that has ended the build before it is asked for its events, tells them afterwards."""
    asked = []

    async def solve(_: SolveRequest) -> SolveResponse:
        return SolveResponse()

    async def session(call: ServerCall) -> None:
        while await call.receive() is not None:
            pass

    async def status(call: ServerCall) -> None:
        asked.append(decode(StatusRequest, await call.receive() or b"").Ref)
        if len(asked) == 1:
            raise GrpcError(Code.NOT_FOUND, "no such job")
        await send(call, StatusResponse(vertexes=[Vertex(digest="d", name="[1/1] COPY a b", cached=True)]))

    handlers = {
        "/moby.buildkit.v1.Control/Solve": unary(SolveRequest, solve),
        "/moby.buildkit.v1.Control/Session": session,
        "/moby.buildkit.v1.Control/Status": status,
    }
    async with old_daemon(tmp_path / "d.sock", handlers) as builder:
        outcome = await builder.build(BuildRequest(context(BASE)), Anonymous())
    assert (outcome.steps, outcome.cached_steps) == (1, 1)
    assert len(asked) == 2


async def build_on(socket: Path, version: str, request: BuildRequest) -> list[BuildEvent]:
    """What a daemon of some version that builds at once tells of a build."""

    async def info(_: InfoRequest) -> InfoResponse:
        return InfoResponse(buildkitVersion=BuildkitVersion(version=version))

    async def solve(_: SolveRequest) -> SolveResponse:
        return SolveResponse(ExporterResponse={"containerimage.digest": "sha256:1"})

    async def session(call: ServerCall) -> None:
        while await call.receive() is not None:
            pass

    async def status(call: ServerCall) -> None:
        await call.receive()

    handlers = {
        "/moby.buildkit.v1.Control/Info": unary(InfoRequest, info),
        "/moby.buildkit.v1.Control/Solve": unary(SolveRequest, solve),
        "/moby.buildkit.v1.Control/Session": session,
        "/moby.buildkit.v1.Control/Status": status,
    }
    events: list[BuildEvent] = []
    async with old_daemon(socket, handlers) as builder:
        await builder.build(request, Anonymous(), events.append)
    return events


async def test_attestations_on_a_daemon_before_0_11(tmp_path: Path, context: Context) -> None:
    """A daemon that passes over the wish for them does not build if they are required, and does if they are not."""
    wish = BuildRequest(
        context(BASE), attests={"provenance": "mode=max"}, outputs=(ImagePush("r.example/a", by_digest=True),)
    )
    required = wish._replace(required_attests=("provenance",))
    with pytest.raises(BuilderTooOld, match=r"\(BuildKit v0\.10\.6\) cannot attach provenance"):
        await build_on(tmp_path / "1.sock", "v0.10.6", required)
    assert not await build_on(tmp_path / "2.sock", "v0.10.6", wish)
    assert not await build_on(tmp_path / "3.sock", "v0.11.0", required)


async def test_source_policies_on_a_daemon_before_0_11(tmp_path: Path, context: Context) -> None:
    """A daemon that passes over a source policy builds nothing."""
    wish = BuildRequest(context(BASE), source_policy=policy(rule("DENY", "*")))
    with pytest.raises(BuilderTooOld, match=r"\(BuildKit v0\.10\.6\) does not apply source policies"):
        await build_on(tmp_path / "1.sock", "v0.10.6", wish)
    assert not await build_on(tmp_path / "2.sock", "v0.11.0", wish)


async def test_file_times_on_a_daemon_before_0_13(tmp_path: Path, context: Context) -> None:
    """A daemon that passes over the wish for reproducible layers is told of by a warning; a newer one is not."""

    async def warnings(version: str, **options: Any) -> list[BuildEvent]:
        return await build_on(tmp_path / f"{version}.sock", version, BuildRequest(context(BASE), **options))

    wish: dict[str, Any] = {"source_date_epoch": 0, "outputs": (ImagePush("r.example/a", rewrite_timestamp=True),)}
    (warning,) = await warnings("v0.12.5", **wish)
    assert isinstance(warning, Warned)
    assert "v0.12.5 cannot set the times of files" in warning.short
    assert not await warnings("v0.13.0", **wish)
    assert not await warnings("v0.0.0+unknown", **wish)
    assert not await warnings("v0.12.4", source_date_epoch=0, outputs=(ImagePush("r.example/a"),))


async def test_a_daemon_without_a_feature(tmp_path: Path, context: Context) -> None:
    """A call that the daemon does not know, and outputs that it leaves out, say that it is too old."""

    async def solve(_: SolveRequest) -> SolveResponse:
        return SolveResponse()

    async def session(call: ServerCall) -> None:
        while await call.receive() is not None:
            pass

    async def status(call: ServerCall) -> None:
        await call.receive()

    handlers = {
        "/moby.buildkit.v1.Control/Solve": unary(SolveRequest, solve),
        "/moby.buildkit.v1.Control/Session": session,
        "/moby.buildkit.v1.Control/Status": status,
    }
    async with old_daemon(tmp_path / "d.sock", handlers) as builder:
        with pytest.raises(BuilderTooOld):
            await builder.disk_usage()
        with pytest.raises(BuilderTooOld):
            await recorded(builder)
        with pytest.raises(BuilderTooOld):
            [record async for record in builder.prune()]
        for output in (LocalOutput(tmp_path / "o"), ImagePush("r.example/a")):
            with pytest.raises(BuilderTooOld, match="did not deliver all outputs"):
                await builder.build(BuildRequest(context(BASE), outputs=(output,)), Anonymous())
        assert (await builder.build(BuildRequest(context(BASE)), Anonymous())).digest == ""

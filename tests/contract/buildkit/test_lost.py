"""The builder goes away, is not one, or the build is given up: nothing hangs, nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk
from prefect_slipway.infra.buildkit.build.outputs import LocalOutput, TarOutput
from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.buildkit.http2.connection import Keepalive
from prefect_slipway.infra.buildkit.session.sources import SecretEnv
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import (
    BuilderLost,
    BuilderProtocolError,
    BuilderTlsError,
    BuilderUnreachable,
    InvalidOption,
    StepFailed,
)
from prefect_slipway.infra.local.engine import engine_address
from tests.certificates import make_certificates
from tests.contract.buildkit.parts import BASE, Engine, older_than, open_descriptors, run
from tests.contract.buildkit.relay import Relay, listener
from tests.contract.buildkit.self_signed import self_signed
from tests.engine import engine as engine_by_hand
from tests.ports import free_port
from tests.waiting import PATIENCE_S, calm_looks, long_sleep, soon

Context = Callable[[str], Path]


@pytest.fixture
def seconds() -> int:
    return long_sleep()


def sleeping(seconds: int) -> str:
    """A Dockerfile whose last step says that it has begun, and then sleeps."""
    return BASE + run(f"echo begun; exec /bin/busybox sleep {seconds}")


@asynccontextmanager
async def begun_build(
    builder: BuildKit | str, folder: Path, keepalive: Keepalive | None = None
) -> AsyncIterator[asyncio.Task[BuildOutcome]]:
    """A build on a builder or an address, whose last step is running."""
    begun = asyncio.Event()

    def watch(event: BuildEvent) -> None:
        if isinstance(event, LogChunk) and b"begun" in event.data:
            begun.set()

    if isinstance(builder, str):
        builder = BuildKit(BuilderAddress.parse(builder), keepalive=keepalive)
    async with builder:
        request = BuildRequest(folder, network="none", no_cache=True)
        task = asyncio.create_task(builder.build(request, Anonymous(), watch))
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        yield task
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


def running_steps(seconds: int) -> list[int]:
    """The processes of such a step."""
    return processes_with(f"sleep {seconds}")


def processes_with(text: str) -> list[int]:
    """The processes whose command line has this in it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if text in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


async def test_cancel_ends_the_daemons_build(engine: Engine, context: Context, seconds: int) -> None:
    """When a cancelled build has returned, its step's process is gone from the daemon."""
    async with begun_build(engine.address, context(sleeping(seconds))) as task:
        assert running_steps(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not running_steps(seconds)


async def test_a_killed_daemon_is_lost(context: Context, seconds: int) -> None:
    """A daemon that is killed mid-build is lost, which a retry can help."""
    with tempfile.TemporaryDirectory(prefix="engine-") as home:
        daemon = engine_by_hand(Path(home))
        daemon.start()
        try:
            process = daemon.process()
            assert process is not None
            async with begun_build(engine_address(Path(home)), context(sleeping(seconds))) as task:
                process.kill()
                with pytest.raises(BuilderLost) as error:
                    await soon(task)
            assert error.value.retryable
        finally:
            daemon.stop()
            for pid in (*processes_with(home), *running_steps(seconds)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


async def test_a_half_open_connection_is_lost(engine: Engine, context: Context, seconds: int) -> None:
    """A connection through which nothing comes any more, without being closed, is lost after the keepalive."""
    keepalive = Keepalive(idle_s=0.3, timeout_s=0.3)
    async with (
        Relay(engine.upstream) as relay,
        begun_build(relay.address, context(sleeping(seconds)), keepalive) as task,
    ):
        relay.frozen.set()
        with pytest.raises(BuilderLost, match="no response for"):
            await soon(task)


async def test_a_quiet_build_is_not_lost(engine: Engine, context: Context) -> None:
    """A step that says nothing for many keepalive periods goes on: the daemon answers the pings."""
    async with Relay(engine.upstream) as relay:
        keepalive = Keepalive(idle_s=0.1, timeout_s=PATIENCE_S)
        async with begun_build(relay.address, context(sleeping(2)), keepalive) as task:
            assert (await soon(task)).steps == 2


async def test_a_cut_connection_is_lost(engine: Engine, context: Context, seconds: int) -> None:
    """A connection that is reset is lost, and the daemon ends the build by itself."""
    async with Relay(engine.upstream) as relay, begun_build(relay.address, context(sleeping(seconds))) as task:
        relay.cut()
        with pytest.raises(BuilderLost):
            await soon(task)
    async for _ in calm_looks():
        if not running_steps(seconds):
            break
    assert not running_steps(seconds)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x00" * 4096,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01" + b"\xff" * 64,
    ],
    ids=["http1", "zeros", "ssh", "frames"],
)
async def test_garbage_on_the_wire(answer: bytes) -> None:
    """A server that speaks something else is a protocol error, at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        await writer.drain()
        await reader.read()

    async with listener(serve) as port, BuildKit(BuilderAddress.parse(f"tcp://127.0.0.1:{port}")) as builder:
        with pytest.raises(BuilderProtocolError):
            await soon(builder.info())


async def test_nobody_listens(tmp_path: Path) -> None:
    """A port or a socket without a server is unreachable, which a retry can help."""
    for address in (f"tcp://127.0.0.1:{free_port()}", f"unix://{tmp_path}/no.sock", f"docker://{tmp_path}/no.sock"):
        with pytest.raises(BuilderUnreachable) as error:
            async with BuildKit(BuilderAddress.parse(address)):
                pass
        assert error.value.cause in {
            f"builder {address}: connection refused",
            f"builder {address}: the socket does not exist",
        }
    with pytest.raises(BuilderUnreachable, match="no such host"):
        async with BuildKit(BuilderAddress.parse("tcp://builder.invalid:1")):
            pass


async def test_a_daemon_that_does_not_end_is_not_waited_for(engine: Engine, context: Context, seconds: int) -> None:
    """A cancelled build returns after the time that was set even if the daemon says nothing more."""
    async with Relay(engine.upstream) as relay:
        builder = BuildKit(BuilderAddress.parse(relay.address), cancel_timeout_s=0.2)
        async with begun_build(builder, context(sleeping(seconds))) as task:
            relay.frozen.set()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(task)


async def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    """An engine's socket where nobody answers the upgrade is given up after the time that was set."""
    path = tmp_path / "silent.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listener(serve, path):
        with pytest.raises(BuilderUnreachable, match="no answer within"):
            async with BuildKit(BuilderAddress.parse(f"docker://{path}"), connect_timeout_s=0.2):
                pass


async def test_an_engine_without_buildkit(tmp_path: Path) -> None:
    """A Docker engine that does not know POST /grpc says so."""
    path = tmp_path / "old.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async with listener(serve, path):
        with pytest.raises(BuilderProtocolError, match="404"):
            async with BuildKit(BuilderAddress.parse(f"docker://{path}")):
                pass


async def test_certificates_that_are_not_accepted(engine: Engine, tmp_path: Path) -> None:
    """An unknown CA, an expired certificate, another name and a missing client certificate are TLS causes."""
    good, good_tls = self_signed(tmp_path / "good", "127.0.0.1")
    expired, expired_tls = self_signed(tmp_path / "expired", "127.0.0.1", expired=True)
    other = make_certificates(tmp_path / "other")
    demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    demanding.load_cert_chain(good, good.with_name("key.pem"))
    demanding.load_verify_locations(other.ca)
    demanding.verify_mode = ssl.CERT_REQUIRED
    for server, files, reason in (
        (good_tls, TlsFiles(other.ca), "not accepted"),
        (good_tls, TlsFiles(), "not accepted"),
        (expired_tls, TlsFiles(expired), "expired"),
        (good_tls, TlsFiles(good, server_name="builder.example"), "mismatch"),
        (demanding, TlsFiles(good), "client certificate"),
    ):
        async with Relay(engine.upstream, tls=server) as relay:
            with pytest.raises(BuilderTlsError, match=reason):
                async with BuildKit(BuilderAddress.parse(relay.address, files)) as builder:
                    await builder.info()


async def test_a_refused_client_certificate(tmp_path: Path) -> None:
    """A server's refusal of the client's certificate comes after TLS 1.3's handshake, and is a TLS cause still."""
    cert, context = self_signed(tmp_path / "server", "127.0.0.1")
    context.load_verify_locations(cert)
    context.verify_mode = ssl.CERT_REQUIRED

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        refusing = asyncio.create_task(asyncio.to_thread(refuse, listener))
        address = BuilderAddress.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}", TlsFiles(cert))
        with pytest.raises(BuilderTlsError):
            async with BuildKit(address) as builder:
                await builder.info()
        await refusing


async def test_tls_towards_a_plain_port(engine: Engine, tmp_path: Path) -> None:
    """TLS where the builder speaks plain is a TLS cause, and files that are none are an option that is wrong."""
    async with Relay(engine.upstream) as relay:
        with pytest.raises(BuilderTlsError):
            async with BuildKit(BuilderAddress.parse(relay.address, TlsFiles())):
                pass
    with pytest.raises(InvalidOption):
        async with BuildKit(BuilderAddress.parse("tcp://127.0.0.1:1", TlsFiles(tmp_path / "no.pem"))):
            pass


async def test_two_hundred_builds_leave_nothing(engine: Engine, context: Context, tmp_path: Path) -> None:
    """Builds of all kinds, good, bad and cancelled, leave no task, thread, descriptor or temporary file behind."""
    folder = context(BASE)
    failing = BuildRequest(folder, dockerfile_content=b"FROM scratch\nCOPY nope /\n")
    both = (LocalOutput(tmp_path / "out"), TarOutput(tmp_path / "out.tar"))
    # Before v0.13 a build has one output.
    outputs = (both[:1], both[1:]) if await older_than(engine, 0, 13) else (both,)
    kinds: tuple[BuildRequest, ...] = (
        *(BuildRequest(folder),) * (7 - len(outputs)),
        *(BuildRequest(folder, outputs=some) for some in outputs),
        BuildRequest(folder, dockerfile_content=BASE.encode(), secrets={"s": SecretEnv("PATH")}),
        BuildRequest(folder, cache_exports=(CacheEntry("local", {"dest": str(tmp_path / "cache")}),)),
        failing,
    )

    async def one(number: int) -> None:
        request = kinds[number % len(kinds)]
        async with BuildKit(BuilderAddress.parse(engine.address), cancel_timeout_s=0.5) as builder:
            building = asyncio.create_task(builder.build(request, Anonymous()))
            if number % 11 == 5:
                await asyncio.sleep(0.01)
                building.cancel()
            try:
                await building
            except StepFailed:
                assert request is failing
            except asyncio.CancelledError:
                assert number % 11 == 5

    async def round_of(count: int) -> tuple[int, int, int]:
        # Four at a time.
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                await one(number)

        await asyncio.gather(*(some() for _ in range(4)))
        return len(asyncio.all_tasks()), threading.active_count(), open_descriptors()

    before = await round_of(10)
    tasks, threads, descriptors = await round_of(200)
    # What tests before this one left to the garbage collector may go meanwhile.
    assert tasks == before[0] and descriptors <= before[2]
    # The default executor makes threads on demand, up to its limit, and keeps them.
    assert threads <= before[1] + 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "context", "out", "out.tar"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bin"]
    assert not list((tmp_path / "cache" / "ingest").iterdir())

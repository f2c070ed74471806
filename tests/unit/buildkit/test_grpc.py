"""gRPC over HTTP/2, our client against our server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame

from prefect_slipway.infra.buildkit.http2.connection import Keepalive
from prefect_slipway.infra.buildkit.http2.grpc import (
    Code,
    GrpcClient,
    GrpcError,
    GrpcServer,
    Handler,
    ServerCall,
    frame,
)
from prefect_slipway.infra.buildkit.http2.stream import ConnectionLost, ProtocolViolation
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage
from tests.unit.buildkit.pipe import pipe
from tests.waiting import PATIENCE_S, soon


@asynccontextmanager
async def connected(handlers: Mapping[str, Handler], keepalive: Keepalive | None = None) -> AsyncIterator[GrpcClient]:
    near, far = pipe()
    serving = asyncio.create_task(GrpcServer(handlers).serve(far))
    async with GrpcClient(near, keepalive=keepalive) as client:
        yield client
    await soon(serving)


async def echo(call: ServerCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send_framed(frame(message))


async def test_messages_go_both_ways() -> None:
    """A stream carries messages of any size, in order, in both directions at once."""
    sizes = [0, 1, 16384, 3 << 20, 5] * 4
    async with connected({"/s/Echo": echo}) as client, client.call("/s/Echo") as call:

        async def send() -> None:
            for number, size in enumerate(sizes):
                await call.send(bytes([number]) * size)
            call.end()

        sending = asyncio.create_task(send())
        received = []
        while (message := await call.receive()) is not None:
            received.append(message)
        await sending
    assert received == [bytes([number]) * size for number, size in enumerate(sizes)]


async def test_metadata_arrives() -> None:
    """Values of one key keep their order and bytes beyond ASCII."""
    seen: dict[str, list[str]] = {}

    async def note(call: ServerCall) -> None:
        seen.update(call.metadata)

    sent = [("k", "one"), ("k", "ü"), ("other", "3")]
    async with connected({"/s/Note": note}) as client, client.call("/s/Note", sent) as call:
        assert await call.receive() is None
    assert seen["k"] == ["one", "ü"]
    assert seen["other"] == ["3"]


async def test_a_status_arrives() -> None:
    """A handler's error reaches the caller with its code and its text, whatever characters are in it."""
    text = "50% of ünï\nlines"

    async def fail(call: ServerCall) -> None:
        raise GrpcError(Code.NOT_FOUND, text)

    async with connected({"/s/Fail": fail}) as client:
        with pytest.raises(GrpcError) as error:
            await client.unary("/s/Fail", BytesMessage(), BytesMessage)
    assert (error.value.code, error.value.message) == (Code.NOT_FOUND, text)


async def test_a_status_after_messages_arrives() -> None:
    """An error after some messages comes after them."""

    async def some(call: ServerCall) -> None:
        await call.send_framed(frame(b"\x0a\x01x"))
        raise GrpcError(Code.ABORTED, "enough")

    async with connected({"/s/Some": some}) as client:
        seen = []
        with pytest.raises(GrpcError, match="enough"):
            async for message in client.stream("/s/Some", BytesMessage(), BytesMessage):
                seen.append(message.data)
    assert seen == [b"x"]


async def test_an_unknown_method() -> None:
    """A method nobody serves is unimplemented."""
    async with connected({}) as client:
        with pytest.raises(GrpcError) as error:
            await client.unary("/s/Nothing", BytesMessage(), BytesMessage)
    assert error.value.code is Code.UNIMPLEMENTED


async def test_a_slow_reader_holds_the_writer() -> None:
    """A server that reads nothing lets the client send a bounded amount and no more."""
    release = asyncio.Event()

    async def slow(call: ServerCall) -> None:
        await release.wait()
        while await call.receive() is not None:
            pass

    async with connected({"/s/Slow": slow}) as client, client.call("/s/Slow") as call:
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for _ in range(100):
                await call.send(b"x" * (1 << 18))
                sent += 1
            call.end()

        flooding = asyncio.create_task(flood())
        while True:
            before = sent
            await asyncio.sleep(0.1)
            if sent == before:
                break
        assert sent < 40
        release.set()
        assert await call.receive() is None
        await flooding
        assert sent == 100


async def test_leaving_a_call_cancels_its_handler() -> None:
    """A call that is left before its end cancels what serves it."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(call: ServerCall) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with connected({"/s/Forever": forever}) as client:
        async with client.call("/s/Forever"):
            await soon(begun.wait())
        await soon(cancelled.wait())


async def test_a_closed_connection_fails_its_calls() -> None:
    """When the other side goes away, every call ends as lost, and so does a new one."""
    near, far = pipe()
    async with GrpcClient(near) as client:
        async with client.call("/s/Any") as call:
            await far.close()
            with pytest.raises(ConnectionLost):
                await soon(call.receive())
        with pytest.raises(ConnectionLost):
            await client.unary("/s/Any", BytesMessage(), BytesMessage)


async def test_silence_is_noticed() -> None:
    """A connection on which nothing comes and no ping is answered is lost."""
    near, _far = pipe(depth=100)
    async with GrpcClient(near, keepalive=Keepalive(idle_s=0.05, timeout_s=0.05)) as client:
        with pytest.raises(ConnectionLost, match="no response for"):
            await soon(client.unary("/s/Any", BytesMessage(), BytesMessage))


async def test_pings_keep_an_idle_connection() -> None:
    """A peer that only answers pings is alive."""

    async def wait(call: ServerCall) -> None:
        await asyncio.sleep(0.5)

    keepalive = Keepalive(idle_s=0.02, timeout_s=PATIENCE_S)
    async with connected({"/s/Wait": wait}, keepalive) as client, client.call("/s/Wait") as call:
        assert await call.receive() is None


async def test_a_server_that_shuts_down_in_order() -> None:
    """After a GOAWAY without an error the running call is served to its end, and a new one is refused as lost."""
    near, far = pipe()
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    await far.write(server.data_to_send())
    async with GrpcClient(near) as client, client.call("/s/Any") as call:
        while not any(isinstance(e, h2.events.RequestReceived) for e in server.receive_data(await far.read())):
            pass
        await far.write(GoAwayFrame(0, last_stream_id=1).serialize())
        server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
        server.send_data(1, frame(b"still here"))
        server.send_headers(1, [("grpc-status", "0")], end_stream=True)
        await far.write(server.data_to_send())
        assert await soon(call.receive()) == b"still here"
        assert await call.receive() is None
        with pytest.raises(ConnectionLost, match="shutting down"):
            await client.unary("/s/Any", BytesMessage(), BytesMessage)


async def test_a_handlers_bug_is_not_hidden() -> None:
    """An exception that is no gRPC status ends the server with itself, and the caller with an internal error."""

    async def broken(call: ServerCall) -> None:
        raise ZeroDivisionError

    near, far = pipe()
    serving = asyncio.create_task(GrpcServer({"/s/Broken": broken}).serve(far))
    async with GrpcClient(near) as client:
        with pytest.raises((GrpcError, ConnectionLost)):
            await client.unary("/s/Broken", BytesMessage(), BytesMessage)
    with pytest.raises(ExceptionGroup) as group:
        await serving
    assert group.group_contains(ZeroDivisionError)


@pytest.mark.parametrize(
    "data",
    [b"\x01\x00\x00\x00\x01x", b"\x00\xff\xff\xff\xff", b"\x00\x00\x00\x00\x09short", b"\x00\x00"],
    ids=["compressed", "huge", "cut", "cut-prefix"],
)
async def test_bad_framing(data: bytes) -> None:
    """A message that was not agreed upon or is not whole is a violation, not a hang."""

    async def bad(call: ServerCall) -> None:
        await call.send_framed(data)

    async with connected({"/s/Bad": bad}) as client:
        with pytest.raises(ProtocolViolation):
            await soon(client.unary("/s/Bad", BytesMessage(), BytesMessage))


async def test_many_calls_leave_nothing() -> None:
    """A connection that served many calls keeps nothing of them."""
    async with connected({"/s/Echo": echo}) as client:
        for _ in range(500):
            await client.unary("/s/Echo", BytesMessage(data=b"x"), BytesMessage)
        assert len(client._connection._streams) == 0
        assert len(client._connection._sending) == 0

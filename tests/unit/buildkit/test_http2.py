"""HTTP/2 against another implementation (`h2`), and against what is none."""

from __future__ import annotations

import asyncio

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.http2 import frames
from prefect_slipway.infra.buildkit.http2.byte_stream import ByteStream
from prefect_slipway.infra.buildkit.http2.errors import ConnectionLost, ProtocolViolation
from prefect_slipway.infra.buildkit.http2.grpc import GrpcClient, GrpcError, GrpcServer, ServerCall, frame
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage
from tests.unit.buildkit.pipe import pipe
from tests.waiting import soon

SIZES = [0, 1, 70_000, 300_000, 5]


async def events(peer: h2.connection.H2Connection, stream: ByteStream) -> list[h2.events.Event]:
    """The next piece of what comes; its data is consumed, and answers are sent."""
    found = peer.receive_data(await soon(stream.read()))
    for event in found:
        if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
            peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    if answer := peer.data_to_send():
        await stream.write(answer)
    return found


async def test_a_client_with_small_windows_and_frames() -> None:
    """Our server keeps to another client's windows, which grow and shrink, and all of the data arrives in order."""
    near, far = pipe(depth=100)

    async def send(call: ServerCall) -> None:
        for number, size in enumerate(SIZES):
            await call.send_framed(frame(bytes([number]) * size))

    serving = asyncio.create_task(GrpcServer({"/s/Send": send}).serve(far))
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    request = [(":method", "POST"), (":scheme", "http"), (":path", "/s/Send"), (":authority", "x"), ("k", "v" * 50_000)]
    client.send_headers(1, request, end_stream=True)
    await near.write(client.data_to_send())
    data = b""
    trailers: list[tuple[str | bytes, str | bytes]] = []
    while not trailers:
        for event in await events(client, near):
            if isinstance(event, h2.events.DataReceived):
                data += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                trailers = list(event.headers)
    assert data == b"".join(frame(bytes([number]) * size) for number, size in enumerate(SIZES))
    assert ("grpc-status", "0") in trailers
    await near.close()
    await soon(serving)


async def test_a_server_with_small_windows() -> None:
    """Our client keeps to another server's windows, and gives it new window for what it has read."""
    near, far = pipe(depth=100)
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.local_settings = h2.settings.Settings(
        client=False, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10}
    )
    server.initiate_connection()

    async def serve() -> bytes:
        await far.write(server.data_to_send())
        data = b""
        while True:
            for event in await events(server, far):
                if isinstance(event, h2.events.DataReceived):
                    data += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    server.send_headers(1, [(":status", "200")])
                    server.send_headers(1, [("grpc-status", "0")], end_stream=True)
                    await far.write(server.data_to_send())
                    return data

    serving = asyncio.create_task(serve())
    async with GrpcClient(near) as client, client.call("/s/Take", [("k", "v" * 50_000)]) as call:
        for number, size in enumerate(SIZES[:3]):
            await call.send(bytes([number]) * size)
        call.end()
        assert await soon(call.receive()) is None
    expected = b"".join(frame(bytes([number]) * size) for number, size in enumerate(SIZES[:3]))
    assert await serving == expected


PIECES = st.one_of(
    st.binary(max_size=40),
    st.builds(
        frames.frame, st.integers(0, 10), st.integers(0, 255), st.sampled_from([0, 1, 2, 3]), st.binary(max_size=40)
    ),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(PIECES, max_size=6))
def test_garbage(pieces: list[bytes]) -> None:
    """Whatever comes after a good greeting, a call ends with a violation, a reset or a lost connection; no hang."""

    async def ask() -> None:
        near, far = pipe(depth=100)
        await far.write(frames.settings({}) + b"".join(pieces))
        await far.close()
        async with GrpcClient(near) as client:
            await soon(client.unary("/s/Any", BytesMessage(), BytesMessage))

    with pytest.raises((ProtocolViolation, ConnectionLost, GrpcError)) as error:
        asyncio.run(ask())
    assert str(error.value)

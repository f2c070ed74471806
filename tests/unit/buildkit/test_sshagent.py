"""A build may use an agent's keys and nothing else, with a daemon and an agent played by the test."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.http2.grpc import ClientCall, Code, GrpcClient, GrpcError, GrpcServer
from prefect_slipway.infra.buildkit.session.sources import SshSource
from prefect_slipway.infra.buildkit.session.ssh_agent import SshAgents
from prefect_slipway.infra.buildkit.wire.sshforward_pb2 import BytesMessage, CheckAgentRequest, CheckAgentResponse
from tests.unit.buildkit.pipe import pipe
from tests.waiting import soon

SERVICE = "/moby.sshforward.v1.SSH"
FAILURE = b"\x00\x00\x00\x01\x05"


def message(kind: int, content: bytes = b"") -> bytes:
    return (1 + len(content)).to_bytes(4, "big") + bytes([kind]) + content


@asynccontextmanager
async def forwarding(folder: Path, name: str = "default") -> AsyncIterator[tuple[GrpcClient, ClientCall, list[bytes]]]:
    """An agent that echoes what it is asked, and notes it."""
    asked: list[bytes] = []

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(4)
                asked.append(head + await reader.readexactly(int.from_bytes(head, "big")))
                writer.write(asked[-1])
        except asyncio.IncompleteReadError:
            writer.close()

    path = folder / "agent.sock"
    server = await asyncio.start_unix_server(agent, path)
    near, far = pipe()
    agents = SshAgents({"default": SshSource((path,))})
    serving = asyncio.create_task(GrpcServer(agents.handlers()).serve(far))
    metadata = [("buildkit.ssh.id", name)]
    async with GrpcClient(near) as client, client.call(f"{SERVICE}/ForwardAgent", metadata) as call:
        yield client, call, asked
    await soon(serving)
    server.close()
    await server.wait_closed()


async def receive(call: ClientCall, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = await soon(call.receive())
        assert data is not None
        found += BytesMessage.FromString(data).data
    return found


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=6), st.integers(1, 20))
def test_only_reading_gets_through(requests: list[tuple[int, bytes]], piece: int) -> None:
    """However the bytes are cut: identities and signatures are asked of the agent, all else is answered with failure,
    one answer for each request in their order."""

    async def play(folder: Path) -> None:
        async with forwarding(folder) as (_, call, asked):
            sent = [message(*request) for request in requests]
            stream = b"".join(sent)
            for start in range(0, len(stream), piece):
                await call.send(BytesMessage(data=stream[start : start + piece]).SerializeToString())
            expected = [one if one[4] in {11, 13} else FAILURE for one in sent]
            assert await receive(call, sum(map(len, expected))) == b"".join(expected)
            assert asked == [one for one in sent if one[4] in {11, 13}]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00\x00\x0b", b"\xff\xff\xff\xff\x0b"])
async def test_garbage_ends_the_forwarding(tmp_path: Path, garbage: bytes) -> None:
    """A length that no agent would take ends the call; nothing of it reaches the agent."""
    async with forwarding(tmp_path) as (_, call, asked):
        await call.send(BytesMessage(data=garbage).SerializeToString())
        with pytest.raises(GrpcError) as error:
            await call.receive()
    assert error.value.code is Code.INVALID_ARGUMENT
    assert asked == []


async def test_an_agent_is_found_by_its_id(tmp_path: Path) -> None:
    """An unknown id is refused, the empty one is the default."""
    async with forwarding(tmp_path, "other") as (client, call, _):
        with pytest.raises(GrpcError, match="unset ssh forward key other"):
            await call.receive()
        await client.unary(f"{SERVICE}/CheckAgent", CheckAgentRequest(), CheckAgentResponse)
        with pytest.raises(GrpcError, match="unset ssh forward key x"):
            await client.unary(f"{SERVICE}/CheckAgent", CheckAgentRequest(ID="x"), CheckAgentResponse)

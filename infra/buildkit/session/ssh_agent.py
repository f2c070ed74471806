"""SSH agents that RUN steps and git sources may sign with (`RUN --mount=type=ssh`).

Service: session/sshforward/ssh.proto (moby/buildkit). Inside the stream runs the agent protocol
(draft-miller-ssh-agent, sections 3 and 5.1): length, type, contents, one answer for each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler, ServerCall, decode
from prefect_slipway.infra.buildkit.http2.unary import send, unary
from prefect_slipway.infra.buildkit.session.sources import SshSource
from prefect_slipway.infra.buildkit.wire.sshforward_pb2 import BytesMessage, CheckAgentRequest, CheckAgentResponse
from prefect_slipway.infra.domain.errors import InvalidOption, SlipwayError

# SSH_AGENTC_REQUEST_IDENTITIES and SSH_AGENTC_SIGN_REQUEST: a build may use keys, not add, remove or lock them
# (the same in session/sshforward/sshprovider/agentprovider.go).
_ALLOWED = frozenset({11, 13})
_FAILURE = b"\x00\x00\x00\x01\x05"
_MAX_MESSAGE = 256 * 1024  # OpenSSH's AGENT_MAX_LEN
_RAW_AT_ONCE = 32 * 1024
DEFAULT_ID = "default"


class Agent(Protocol):
    """Answers the agent protocol's messages, each with its length, in their order."""

    async def answer(self, request: bytes) -> bytes: ...

    async def close(self) -> None: ...


class SshAgents:
    """Forwards to agents by id.

    Raises InvalidOption for a socket that is none and a key that cannot be used.
    """

    def __init__(self, sources: Mapping[str, SshSource]) -> None:
        self._ways = {name or DEFAULT_ID: _way(name or DEFAULT_ID, source) for name, source in sources.items()}
        self.failure: SlipwayError | None = None

    def handlers(self) -> dict[str, Handler]:
        return {
            "/moby.sshforward.v1.SSH/CheckAgent": unary(CheckAgentRequest, self._check),
            "/moby.sshforward.v1.SSH/ForwardAgent": self._forward,
        }

    async def _check(self, request: CheckAgentRequest) -> CheckAgentResponse:
        self._find(request.ID)
        return CheckAgentResponse()

    async def _forward(self, call: ServerCall) -> None:
        way = self._find("".join(call.metadata.get("buildkit.ssh.id", [])[:1]))
        try:
            if isinstance(way, _Raw):
                await way.forward(call)
                return
            agent = await self._agent(way)
            try:
                requests = _Requests(call)
                while (request := await requests.next()) is not None:
                    answer = await agent.answer(request) if request[4] in _ALLOWED else _FAILURE
                    await send(call, BytesMessage(data=answer))
            finally:
                await agent.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise GrpcError(Code.UNAVAILABLE, "the SSH agent does not answer, or has ended") from error

    async def _agent(self, way: Path | _Elsewhere | Agent) -> Agent:
        if isinstance(way, Path):
            return await _open(way)
        if not isinstance(way, _Elsewhere):
            return way
        try:
            return await way.open()
        except SlipwayError as error:
            self.failure = self.failure or error
            raise GrpcError(Code.INTERNAL, "a key cannot be read") from error

    def _find(self, name: str) -> Path | _Raw | _Elsewhere | Agent:
        way = self._ways.get(name or DEFAULT_ID)
        if way is None:
            raise GrpcError(Code.NOT_FOUND, f"unset ssh forward key {name or DEFAULT_ID}")
        return way


class _Socket:
    """An agent behind a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def answer(self, request: bytes) -> bytes:
        self._writer.write(request)
        await self._writer.drain()
        head = await self._reader.readexactly(4)
        length = int.from_bytes(head, "big")
        if length > _MAX_MESSAGE:
            raise GrpcError(Code.INTERNAL, "the SSH agent's answer does not follow the agent protocol")
        return head + await self._reader.readexactly(length)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def _open(path: Path) -> _Socket:
    return _Socket(*await asyncio.open_unix_connection(path))


class _Raw:
    """A socket whose bytes are passed on as they are."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def forward(self, call: ServerCall) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path)
        back = asyncio.create_task(self._back(reader, call))
        try:
            while (message := await call.receive()) is not None:
                writer.write(decode(BytesMessage, message).data)
                await writer.drain()
            writer.write_eof()
            await back
        finally:
            back.cancel()
            writer.close()
            await asyncio.gather(back, return_exceptions=True)

    @staticmethod
    async def _back(reader: asyncio.StreamReader, call: ServerCall) -> None:
        while data := await reader.read(_RAW_AT_ONCE):
            await send(call, BytesMessage(data=data))


class _Elsewhere:
    """Keys that are read when somebody connects, and go with the connection."""

    def __init__(self, name: str, source: SshSource) -> None:
        self._name = name
        self._keys = source.keys

    async def open(self) -> Agent:
        from prefect_slipway.infra.buildkit.session.ssh_keys import SshKeys

        return SshKeys.of(self._name, {key.place: await key.read() for key in self._keys})


class _Requests:
    """Cuts a stream of bytes into the agent protocol's messages."""

    def __init__(self, call: ServerCall) -> None:
        self._call = call
        self._buffer = b""

    async def next(self) -> bytes | None:
        while (size := self._size()) is None or len(self._buffer) < size:
            message = await self._call.receive()
            if message is None:
                return None
            self._buffer += decode(BytesMessage, message).data
        request, self._buffer = self._buffer[:size], self._buffer[size:]
        return request

    def _size(self) -> int | None:
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "big")
        if not 1 <= length <= _MAX_MESSAGE:
            raise GrpcError(Code.INVALID_ARGUMENT, "not the SSH agent protocol")
        return 4 + length


def _way(name: str, source: SshSource) -> Path | _Raw | _Elsewhere | Agent:
    if source.keys:
        return _Elsewhere(name, source)
    sockets = [path for path in source.paths if _is_socket(path)]
    if not source.paths:
        found = os.environ.get("SSH_AUTH_SOCK")
        if not found:
            raise InvalidOption(f"ssh {name!r}: SSH_AUTH_SOCK is not set", action="start an agent, or pass its socket")
        sockets = [Path(found)]
        if not _is_socket(sockets[0]):
            raise InvalidOption(
                f"ssh {name!r}: {found} is not the socket of an SSH agent", action="check SSH_AUTH_SOCK"
            )
    if not sockets and not source.raw:
        from prefect_slipway.infra.buildkit.session.ssh_keys import SshKeys

        return SshKeys.read(name, source.paths)
    if len(sockets) != 1 or len(source.paths) > 1:
        raise InvalidOption(
            f"ssh {name!r}: use either one socket or key files", action="give sockets and keys different ids"
        )
    return _Raw(sockets[0]) if source.raw else sockets[0]


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False

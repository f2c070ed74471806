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

from flows.domain.errors import InvalidOption, SlipwayError
from infra.buildkit.grpc import Code, GrpcError, Handler, ServerCall, decode
from infra.buildkit.unary import send, unary
from infra.buildkit.wire.sshforward_pb2 import BytesMessage, CheckAgentRequest, CheckAgentResponse

# SSH_AGENTC_REQUEST_IDENTITIES and SSH_AGENTC_SIGN_REQUEST: a build may use keys, not add, remove or lock them
# (the same in session/sshforward/sshprovider/agentprovider.go).
_ALLOWED = frozenset({11, 13})
_FAILURE = b"\x00\x00\x00\x01\x05"
_MAX_MESSAGE = 256 * 1024  # OpenSSH's AGENT_MAX_LEN
DEFAULT_ID = "default"


class SshAgents:
    """Forwards to agents by id. `sockets`: the path of each one's socket, None for $SSH_AUTH_SOCK.

    Raises InvalidOption for a socket that is none.
    """

    def __init__(self, sockets: Mapping[str, Path | None]) -> None:
        self._sockets = {name or DEFAULT_ID: _socket(name, path) for name, path in sockets.items()}
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
        path = self._find("".join(call.metadata.get("buildkit.ssh.id", [])[:1]))
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError as error:
            raise GrpcError(Code.UNAVAILABLE, "the SSH agent does not answer") from error
        try:
            requests = _Requests(call)
            while (request := await requests.next()) is not None:
                answer = _FAILURE
                if request[4] in _ALLOWED:
                    writer.write(request)
                    await writer.drain()
                    answer = await _answer(reader)
                await send(call, BytesMessage(data=answer))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise GrpcError(Code.UNAVAILABLE, "the SSH agent went away") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _find(self, name: str) -> Path:
        path = self._sockets.get(name or DEFAULT_ID)
        if path is None:
            raise GrpcError(Code.NOT_FOUND, f"unset ssh forward key {name or DEFAULT_ID}")
        return path


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


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    length = int.from_bytes(head, "big")
    if length > _MAX_MESSAGE:
        raise GrpcError(Code.INTERNAL, "the SSH agent's answer is not of the agent protocol")
    return head + await reader.readexactly(length)


def _socket(name: str, path: Path | None) -> Path:
    if path is None:
        found = os.environ.get("SSH_AUTH_SOCK")
        if not found:
            raise InvalidOption(
                f"ssh {name or DEFAULT_ID!r}: SSH_AUTH_SOCK is not set", action="start an agent, or name its socket"
            )
        path = Path(found)
    try:
        is_socket = stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        is_socket = False
    if not is_socket:
        raise InvalidOption(
            f"ssh {name or DEFAULT_ID!r}: {path} is not the socket of an SSH agent",
            action="keys in files go into an agent first (ssh-add)",
        )
    return path

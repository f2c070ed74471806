"""The session: a tunnel inside Control/Session in which the daemon is the HTTP/2 client and we serve its callbacks.

Metadata: session/session.go and session/grpc.go (moby/buildkit). What is offered is in `_handlers`; secrets, ssh and
file output get their handlers there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from flows.domain.credentials import CredentialSource
from flows.domain.errors import SlipwayError
from infra.buildkit.filesync import FileSync
from infra.buildkit.grpc import (
    ClientCall,
    Code,
    GrpcClient,
    GrpcError,
    GrpcServer,
    Handler,
    ServerCall,
    decode,
    frame,
)
from infra.buildkit.http2_stream import ConnectionLost, ProtocolViolation, StreamReset
from infra.buildkit.wire.control_pb2 import BytesMessage
from infra.buildkit.wire.rpc_pb2 import HealthCheckResponse
from infra.buildkit.wire.session_pb2 import CredentialsRequest, CredentialsResponse

_CONTROL_SESSION = "/moby.buildkit.v1.Control/Session"


class Session:
    """What one build offers to the daemon. `id` goes into the SolveRequest.

    `shared_key`: the same for builds of the same directory, so that the daemon compares with what it already has.
    """

    def __init__(
        self, directories: Mapping[str, Path], credentials: CredentialSource, *, name: str, shared_key: str
    ) -> None:
        self.id = secrets.token_hex(16)
        self._name = name
        self._shared_key = shared_key
        self._credentials = credentials
        self._file_sync = FileSync(directories)
        self._credential_failure: SlipwayError | None = None

    @property
    def failure(self) -> SlipwayError | None:
        """The cause on our side, which the daemon's error only retells."""
        return self._credential_failure or self._file_sync.failure

    async def run(self, client: GrpcClient) -> None:
        """Serve until the daemon ends the session or this is cancelled. Raises GrpcError, ConnectionLost ..."""
        handlers = self._handlers()
        metadata = [
            ("x-docker-expose-session-uuid", self.id),
            ("x-docker-expose-session-name", self._name),
            ("x-docker-expose-session-sharedkey", self._shared_key),
            *(("x-docker-expose-session-grpc-method", method) for method in handlers),
        ]
        async with client.call(_CONTROL_SESSION, metadata) as call:
            tunnel = _Tunnel(call)
            await GrpcServer(handlers).serve(tunnel)
            if tunnel.failure is not None:
                raise tunnel.failure

    def _handlers(self) -> dict[str, Handler]:
        return {
            "/grpc.health.v1.Health/Check": self._health,
            "/moby.filesync.v1.FileSync/DiffCopy": self._file_sync.diff_copy,
            "/moby.filesync.v1.Auth/Credentials": self._credential,
        }

    async def _health(self, call: ServerCall) -> None:
        await call.receive()
        answer = HealthCheckResponse(status=HealthCheckResponse.SERVING)
        await call.send_framed(frame(answer.SerializeToString()))

    async def _credential(self, call: ServerCall) -> None:
        request = decode(CredentialsRequest, await call.receive() or b"")
        try:
            credential = await self._credentials.credential(request.Host.lower())
        except SlipwayError as error:
            self._credential_failure = self._credential_failure or error
            raise GrpcError(Code.UNAVAILABLE, f"no credentials: {error.name}") from error
        answer = CredentialsResponse()
        if credential is not None:
            answer.Username, answer.Secret = credential.username, credential.password
        await call.send_framed(frame(answer.SerializeToString()))


class _Tunnel:
    """The bytes of the BytesMessages of a Control/Session call. `failure`: how the call ended, if badly."""

    def __init__(self, call: ClientCall) -> None:
        self._call = call
        self.failure: Exception | None = None

    async def read(self) -> bytes:
        try:
            # An empty message is not the end.
            while (message := await self._call.receive()) is not None:
                if data := decode(BytesMessage, message).data:
                    return data
        except (GrpcError, ConnectionLost, ProtocolViolation) as error:
            self.failure = self.failure or error
        return b""

    async def write(self, data: bytes) -> None:
        try:
            await self._call.send(BytesMessage(data=data).SerializeToString())
        except (StreamReset, ConnectionLost, ProtocolViolation) as error:
            raise BrokenPipeError("the session's call is over") from error

    async def close(self) -> None:
        self._call.end()

"""The session: a tunnel inside Control/Session in which the daemon is the HTTP/2 client and we serve its callbacks.

Metadata: session/session.go and session/grpc.go (moby/buildkit). A daemon calls only methods that were announced.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from prefect_slipway.infra.buildkit.files.packets import varint
from prefect_slipway.infra.buildkit.http2.grpc import (
    ClientCall,
    GrpcClient,
    GrpcError,
    GrpcServer,
    Handler,
    ServerCall,
    decode,
)
from prefect_slipway.infra.buildkit.http2.stream import ConnectionLost, ProtocolViolation, StreamReset
from prefect_slipway.infra.buildkit.http2.unary import send
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage
from prefect_slipway.infra.buildkit.wire.rpc_pb2 import HealthCheckResponse
from prefect_slipway.infra.domain.errors import SlipwayError

_CONTROL_SESSION = "/moby.buildkit.v1.Control/Session"
# grpc-go refuses a message of more than 4 MiB (defaultServerMaxReceiveMessageSize in server.go).
_LARGEST_MESSAGE = 2 << 20


class Attachable(Protocol):
    """Something that a session offers. `failure`: the cause on our side, which the daemon's error only retells."""

    @property
    def failure(self) -> SlipwayError | None: ...

    def handlers(self) -> Mapping[str, Handler]:
        """By `/package.Service/Method`."""
        ...


class Session:
    """What one build offers to the daemon. `id` goes into the SolveRequest.

    `shared_key`: the same for builds of the same directory, so that the daemon compares with what it already has.
    """

    def __init__(self, attachables: Sequence[Attachable], *, name: str, shared_key: str) -> None:
        self.id = os.urandom(16).hex()
        self._attachables = attachables
        self._name = name
        self._shared_key = shared_key

    @property
    def failure(self) -> SlipwayError | None:
        """The cause on our side, None if there is none."""
        return next((offered.failure for offered in self._attachables if offered.failure is not None), None)

    async def run(self, client: GrpcClient) -> None:
        """Serve until the daemon ends the session or this is cancelled. Raises GrpcError, ConnectionLost ..."""
        handlers: dict[str, Handler] = {"/grpc.health.v1.Health/Check": _health}
        for offered in self._attachables:
            handlers.update(offered.handlers())
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


async def _health(call: ServerCall) -> None:
    await call.receive()
    await send(call, HealthCheckResponse(status=HealthCheckResponse.SERVING))


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
            for start in range(0, len(data), _LARGEST_MESSAGE):
                piece = memoryview(data)[start : start + _LARGEST_MESSAGE]
                # BytesMessage by hand: its one field's head, and the data uncopied.
                await self._call.send(b"\x0a" + varint(len(piece)), piece)
        except (StreamReset, ConnectionLost, ProtocolViolation) as error:
            raise BrokenPipeError("the session's call is over") from error

    async def close(self) -> None:
        self._call.end()

"""A client that is its own frontend: answers questions without a build, and reads a source's files.

Service: LLBBridge in frontend/gateway/pb/gateway.proto, on the connection of Control, where a call's metadata names the
build (client/build.go in moby/buildkit). The build is a Solve without a frontend; it ends when the client returns.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from prefect_slipway.infra.buildkit.build.conversation import CONTROL
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcClient, GrpcError, M, Message
from prefect_slipway.infra.buildkit.wire.control_pb2 import SolveRequest as SolveMessage
from prefect_slipway.infra.buildkit.wire.control_pb2 import SolveResponse as SolveAnswer
from prefect_slipway.infra.buildkit.wire.gateway_pb2 import (
    FileRange,
    PingRequest,
    PongResponse,
    ReadFileRequest,
    ReadFileResponse,
    Result,
    ReturnRequest,
    ReturnResponse,
    SolveRequest,
    SolveResponse,
)
from prefect_slipway.infra.buildkit.wire.ops_pb2 import Definition, Input, Op, OpMetadata, SourceOp
from prefect_slipway.infra.domain.errors import ContextError

T = TypeVar("T")

_SERVICE = "/moby.buildkit.v1.frontend.LLBBridge"
_BUILD = "buildkit-controlapi-buildid"
_AGAIN_S = 0.05
# build/url.go in docker/buildx.
LARGEST_DOCKERFILE = 2 << 20


class Bridge:
    """The calls of one build, `ref`. Each raises GrpcError, ConnectionLost or ProtocolViolation."""

    def __init__(self, client: GrpcClient, ref: str) -> None:
        self._client = client
        self._metadata = [(_BUILD, ref)]

    async def opened(self) -> None:
        """Wait until the daemon knows the build."""
        while True:
            try:
                await self._call("Ping", PingRequest(), PongResponse)
            except GrpcError as error:
                # A busy daemon begins the build late; each call waits for three seconds there.
                if error.code is Code.UNIMPLEMENTED or "no such job" not in error.message:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def capabilities(self) -> set[str]:
        """What the daemon can do (solver/pb/caps.go)."""
        answer = await self._call("Ping", PingRequest(), PongResponse)
        return {each.ID for each in answer.LLBCaps if each.Enabled}

    async def ask(self, options: Mapping[str, str]) -> dict[str, bytes]:
        """What the Dockerfile's frontend answers to a request (`requestid` in `options`)."""
        request = SolveRequest(Frontend="dockerfile.v0", FrontendOpt=options, allowResultReturn=True)
        request.allowResultArrayRef = True
        return dict((await self._call("Solve", request, SolveResponse)).result.metadata)

    async def fetch(self, url: str) -> bytes:
        """Let the daemon download a Dockerfile. Raises ContextError if it is too large."""
        name = "Dockerfile"
        source = Op(source=SourceOp(identifier=url, attrs={"http.filename": name})).SerializeToString()
        digest = f"sha256:{hashlib.sha256(source).hexdigest()}"
        definition = Definition()
        # The field's name is a word of Python's.
        getattr(definition, "def").extend([source, Op(inputs=[Input(digest=digest)]).SerializeToString()])
        definition.metadata[digest].CopyFrom(OpMetadata(description={"llb.customname": f"[internal] load {url}"}))
        request = SolveRequest(Definition=definition, allowResultReturn=True, allowResultArrayRef=True)
        found = (await self._call("Solve", request, SolveResponse)).result.ref.id
        wanted = ReadFileRequest(Ref=found, FilePath=name, Range=FileRange(Length=LARGEST_DOCKERFILE + 1))
        data = (await self._call("ReadFile", wanted, ReadFileResponse)).Data
        if len(data) > LARGEST_DOCKERFILE:
            raise ContextError(f"the Dockerfile at {url} is larger than {LARGEST_DOCKERFILE >> 20} MiB", action="")
        return data

    async def returned(self) -> None:
        """The build ended without a result."""
        # A daemon fails altogether without a result, be it an empty one.
        await self._call("Return", ReturnRequest(result=Result()), ReturnResponse)

    async def _call(self, method: str, request: Message, response: Callable[[], M]) -> M:
        return await self._client.unary(f"{_SERVICE}/{method}", request, response, self._metadata)


async def answered(client: GrpcClient, solve: SolveMessage, question: Callable[[Bridge], Awaitable[T]]) -> T:
    """The answer to a question, asked in a Solve of its own. Raises as the calls of `Bridge`."""
    solving = asyncio.ensure_future(client.unary(f"{CONTROL}/Solve", solve, SolveAnswer))
    asking = asyncio.ensure_future(_asked(Bridge(client, solve.Ref), question))
    try:
        await asyncio.wait([solving, asking], return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            # It is over before anything was asked: that is why.
            await solving
        answer = await asking
        await solving
    finally:
        for task in (asking, solving):
            task.cancel()
        await asyncio.gather(asking, solving, return_exceptions=True)
    return answer


async def _asked(bridge: Bridge, question: Callable[[Bridge], Awaitable[T]]) -> T:
    await bridge.opened()
    answer = await question(bridge)
    await bridge.returned()
    return answer

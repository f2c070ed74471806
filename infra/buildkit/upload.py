"""A context that is a stream: the daemon downloads it from the session as if from the web.

Service: session/upload/upload.proto (moby/buildkit); the host's name stands for the session (source/http/transport.go).
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
from functools import partial
from typing import BinaryIO

from flows.domain.errors import ContextError, SlipwayError
from infra.buildkit.grpc import Code, GrpcError, Handler, ServerCall
from infra.buildkit.tasks import in_thread
from infra.buildkit.unary import send
from infra.buildkit.wire.control_pb2 import BytesMessage

_CHUNK = 1 << 20


def upload_url(session: str) -> str:
    """What the frontend is told: new for each session, for the daemon remembers what a URL brought."""
    return f"http://buildkit-session/{session}"


class Upload:
    """Serves a stream once. `failure`: why it could not be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream
        self.failure: SlipwayError | None = None

    def handlers(self) -> dict[str, Handler]:
        return {"/moby.upload.v1.Upload/Pull": self._pull}

    async def _pull(self, call: ServerCall) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            raise GrpcError(Code.NOT_FOUND, "the context has been sent already")
        try:
            while data := await _read(stream):
                await send(call, BytesMessage(data=data))
        except OSError as error:
            self.failure = ContextError(f"the context cannot be read from its stream: {error.strerror}")
            raise GrpcError(Code.INTERNAL, "the client cannot read the context") from error


async def _read(stream: BinaryIO) -> bytes:
    """Some bytes, b"" at the end. A pipe or terminal is waited for in the loop, so that this can be cancelled."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return await in_thread(partial(stream.read, _CHUNK))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        await _readable(descriptor)
        return os.read(descriptor, _CHUNK)
    return await in_thread(partial(stream.read, _CHUNK))


async def _readable(descriptor: int) -> None:
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)

"""A context from a stream, which the daemon downloads from the session like from the web.

Service: session/upload/upload.proto (moby/buildkit); the host's name stands for the session (source/http/transport.go).
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
from functools import partial
from typing import BinaryIO, NamedTuple

from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler, ServerCall
from prefect_slipway.infra.buildkit.http2.unary import send
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage
from prefect_slipway.infra.common.tasks import in_thread
from prefect_slipway.infra.domain.errors import ContextError, SlipwayError

_CHUNK = 1 << 20

HEAD = 1024
"""Bytes that an archive is known by."""
_PACKED = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\x00")


def is_archive(head: bytes) -> bool:
    """Whether a stream that begins so is an archive, and not a Dockerfile (build/utils.go in docker/buildx)."""
    if head.startswith(_PACKED):
        return True
    # Imported late, so that `slipway build` starts fast.
    import tarfile

    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


class Archive(NamedTuple):
    """A stream whose first bytes have been read already."""

    head: bytes
    rest: BinaryIO


def upload_url(session: str) -> str:
    """The upload's URL, new for each session, because the daemon caches the content of a URL."""
    return f"http://buildkit-session/{session}"


class Upload:
    """Serves a stream once. `failure`: why it could not be read."""

    def __init__(self, stream: BinaryIO | Archive) -> None:
        self._head, self._stream = stream if isinstance(stream, Archive) else (b"", stream)
        self._sent = False
        self.failure: SlipwayError | None = None

    def handlers(self) -> dict[str, Handler]:
        return {"/moby.upload.v1.Upload/Pull": self._pull}

    async def _pull(self, call: ServerCall) -> None:
        if self._sent:
            raise GrpcError(Code.NOT_FOUND, "the context has been sent already")
        self._sent = True
        try:
            if self._head:
                await send(call, BytesMessage(data=self._head))
            while data := await _read(self._stream):
                await send(call, BytesMessage(data=data))
        except OSError as error:
            self.failure = ContextError(f"the context cannot be read from standard input: {error.strerror}")
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

"""OCI layouts on this machine that the daemon reads and writes: local caches, `oci-layout://` contexts, layouts as
output.

Service: containerd's api/services/content/v1/content.proto, served as its contentserver.go does; which layout is meant
stands in the call's metadata (session/content/attachable.go, moby/buildkit).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prefect_slipway.infra.buildkit.files.oci_layout import Ingest, Layout
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler, ServerCall, decode
from prefect_slipway.infra.buildkit.http2.unary import send
from prefect_slipway.infra.buildkit.wire.content_pb2 import (
    COMMIT,
    STAT,
    WRITE,
    Info,
    InfoRequest,
    InfoResponse,
    ReadContentRequest,
    ReadContentResponse,
    WriteContentRequest,
    WriteContentResponse,
)
from prefect_slipway.infra.common.tasks import in_thread
from prefect_slipway.infra.domain.errors import OutputError, SlipwayError

_SERVICE = "/containerd.services.content.v1.Content"
_CHUNK = 1 << 20


class Content:
    """Serves layouts by id. `failure`: why one could not be written."""

    def __init__(self, layouts: Mapping[str, Layout]) -> None:
        self._layouts = layouts
        self.failure: SlipwayError | None = None

    def handlers(self) -> dict[str, Handler]:
        return {
            f"{_SERVICE}/Info": self._info,
            f"{_SERVICE}/Read": self._read,
            f"{_SERVICE}/Write": self._write,
        }

    async def _info(self, call: ServerCall) -> None:
        request = decode(InfoRequest, await call.receive() or b"")
        size = _size(self._chosen(call), request.digest)
        await send(call, InfoResponse(info=Info(digest=request.digest, size=size)))

    async def _read(self, call: ServerCall) -> None:
        request = decode(ReadContentRequest, await call.receive() or b"")
        layout = self._chosen(call)
        size = _size(layout, request.digest)
        path = layout.blob(request.digest)
        assert path is not None
        start = max(request.offset, 0)
        if start > size:
            raise GrpcError(Code.OUT_OF_RANGE, f"read past the object's {size} bytes")
        left = min(request.size, size - start) if request.size > 0 else size - start
        try:
            with await in_thread(lambda: path.open("rb")) as file:
                file.seek(start)
                done = 0
                while left and (data := await in_thread(partial(file.read, min(_CHUNK, left)))):
                    await send(call, ReadContentResponse(offset=done, data=data))
                    done, left = done + len(data), left - len(data)
        except OSError as error:
            raise GrpcError(Code.DATA_LOSS, f"the blob {request.digest} cannot be read") from error

    async def _write(self, call: ServerCall) -> None:
        layout = self._chosen(call)
        ingest: Ingest | None = None
        total, expected = 0, ""
        try:
            while (message := await call.receive()) is not None:
                request = decode(WriteContentRequest, message)
                total, expected = request.total or total, request.expected or expected
                if request.expected and layout.size(request.expected) is not None:
                    raise GrpcError(Code.ALREADY_EXISTS, f"blob {request.expected} exists")
                if ingest is None:
                    ingest = await in_thread(layout.begin)
                if request.action in {WRITE, COMMIT}:
                    await in_thread(partial(_append, ingest, request))
                if request.action == COMMIT:
                    _verify(ingest, total, expected)
                    await in_thread(ingest.commit)
                answer = WriteContentResponse(action=request.action, offset=ingest.size, digest=ingest.digest)
                if request.action == STAT:
                    answer.total = total
                await send(call, answer)
                if request.action == COMMIT:
                    return
        except OSError as error:
            self.failure = self.failure or OutputError(f"{layout.path} cannot be written: {error.strerror}")
            raise GrpcError(Code.INTERNAL, "the layout cannot be written") from error
        finally:
            if ingest is not None:
                await in_thread(ingest.close)

    def _chosen(self, call: ServerCall) -> Layout:
        name = "".join(call.metadata.get("buildkit-attachable-store-id", [])[:1])
        layout = self._layouts.get(name)
        if layout is None:
            raise GrpcError(Code.NOT_FOUND, f"unknown store {name!r}")
        return layout


def _size(layout: Layout, digest: str) -> int:
    size = layout.size(digest)
    if size is None:
        raise GrpcError(Code.NOT_FOUND, f"content {digest}: not found")
    return size


def _append(ingest: Ingest, request: WriteContentRequest) -> None:
    if request.offset > 0 and request.offset != ingest.size:
        raise GrpcError(Code.OUT_OF_RANGE, f"write at {request.offset} must be at {ingest.size}")
    if request.offset == 0 and ingest.size > 0:
        ingest.truncate()
    ingest.write(request.data)


def _verify(ingest: Ingest, total: int, expected: str) -> None:
    if total and total != ingest.size:
        raise GrpcError(Code.FAILED_PRECONDITION, f"unexpected size {ingest.size}, not {total}")
    if expected and expected != ingest.digest:
        raise GrpcError(Code.FAILED_PRECONDITION, f"unexpected digest {ingest.digest}, not {expected}")

"""A directory with one file that only exists in memory: a Dockerfile that was not read from disk."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, ServerCall, decode
from prefect_slipway.infra.buildkit.http2.unary import send
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Packet, Stat

_CHUNK = 1 << 18


async def send_file(call: ServerCall, name: str, content: bytes) -> None:
    """Serve FileSync/DiffCopy (see `filesync`) for a directory that holds `content` as `name`. Raises GrpcError."""
    # A daemon keeps the last one of the same context, and asks again only if size or time differ.
    stat = Stat(path=name.encode(), mode=0o644, size=len(content), modTime=time.time_ns())
    await send(call, Packet(type=Packet.PACKET_STAT, stat=stat))
    await send(call, Packet(type=Packet.PACKET_STAT))
    while (message := await call.receive()) is not None:
        packet = decode(Packet, message)
        if packet.type == Packet.PACKET_REQ:
            for data in (*_pieces(content), b""):
                await send(call, Packet(type=Packet.PACKET_DATA, ID=packet.ID, data=data))
        elif packet.type == Packet.PACKET_FIN:
            await send(call, Packet(type=Packet.PACKET_FIN))
            return
        elif packet.type == Packet.PACKET_ERR:
            raise GrpcError(Code.UNKNOWN, "error from receiver")
    raise GrpcError(Code.CANCELLED, "the transfer was given up")


def _pieces(content: bytes) -> Iterator[bytes]:
    return (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))

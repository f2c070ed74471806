"""SPDY/3 frames, as far as a port-forward needs them (moby/spdystream, spdy/types.go).

A control frame begins with a bit 1, a version and a type, a data frame with a bit 0 and its stream; then come 8 bits of
flags and a length of 24 bits. Headers are compressed; this side's are without SPDY's dictionary, since a zlib stream
says itself whether it needs one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

SYN_STREAM, RST_STREAM, PING, GOAWAY = 1, 3, 6, 7
DATA = 0
"""What `Frame.kind` says of a data frame; no control frame's type."""
FIN = 1
"""The flag of a stream's last frame."""
_HEAD = struct.Struct(">II")
_CONTROL = 1 << 31
_VERSION = 3 << 16
_LENGTH = (1 << 24) - 1
# A peer that reads and passes on whole frames should not have to wait for a large one; much smaller ones cost.
_DATA_SIZE = 1 << 16


class Frame(NamedTuple):
    """`stream`: of a data frame or RST_STREAM, 0 for others. `body`: what follows the length."""

    kind: int
    stream: int
    flags: int
    body: bytes


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes."""
        self._rest += data
        at = 0
        while len(self._rest) - at >= _HEAD.size:
            first, second = _HEAD.unpack_from(self._rest, at)
            end = at + _HEAD.size + (second & _LENGTH)
            if len(self._rest) < end:
                break
            body = bytes(memoryview(self._rest)[at + _HEAD.size : end])
            kind = first & 0xFFFF if first & _CONTROL else DATA
            stream = int.from_bytes(body[:4], "big") if kind == RST_STREAM else 0 if first & _CONTROL else first
            yield Frame(kind, stream, second >> 24, body)
            at = end
        del self._rest[:at]


class HeaderWriter:
    """Makes SYN_STREAM frames; all of a connection by one writer, as their headers share a compression."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj()

    def syn_stream(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        """Open a stream. `fin`: this side sends nothing on it."""
        words = [word.encode("ascii") for pair in headers.items() for word in pair]
        block = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(word)) + word for word in words)
        packed = self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return control(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + packed, flags=FIN if fin else 0)


def control(kind: int, body: bytes, *, flags: int = 0) -> bytes:
    return _HEAD.pack(_CONTROL | _VERSION | kind, flags << 24 | len(body)) + body


def data_frames(stream: int, data: bytes) -> bytes:
    """`data` as frames of a stream."""
    parts: list[bytes | memoryview] = []
    for at in range(0, len(data), _DATA_SIZE):
        part = memoryview(data)[at : at + _DATA_SIZE]
        parts += (_HEAD.pack(stream, len(part)), part)
    return b"".join(parts)

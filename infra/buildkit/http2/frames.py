"""HTTP/2 frames (RFC 9113 sections 4 and 6): decode received bytes into frames, encode frames to send."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator

from prefect_slipway.infra.buildkit.http2.errors import ProtocolViolation

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x01, 0x01, 0x04, 0x08, 0x20

DEFAULT_WINDOW = 65535
DEFAULT_MAX_FRAME = 1 << 14
LARGEST_MAX_FRAME = (1 << 24) - 1
LARGEST_WINDOW = (1 << 31) - 1

_HEADER = struct.Struct(">HBBBI")  # length in two parts, type, flags, stream
_INTEGER = struct.Struct(">I")

Buffer = bytes | memoryview


def frame(kind: int, flags: int, stream_id: int, body: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(len(body) >> 8, len(body) & 0xFF, kind, flags, stream_id) + body


def window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream_id, _INTEGER.pack(increment))


class FrameReader:
    """Cuts bytes into frames. `max_size`: the longest body that was allowed to the other side."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, memoryview]]:
        """Type, flags, stream and body of each frame that is complete. Raises ProtocolViolation.

        Go's HTTP/2 server gives window back in tiny portions, two frames for each of its reads: a quarter of a million
        for a context of 1 GiB. So those of one piece come last, added up to one for each stream.
        """
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        increments: dict[int, int] = {}
        position, size = 0, len(data)
        while size - position >= _HEADER.size:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(data, position)
            body = position + _HEADER.size
            end = body + (high << 8 | low)
            if end > size:
                if end - body > self._max_size:
                    raise ProtocolViolation("a frame that is longer than allowed")
                break
            position = end
            if kind == WINDOW_UPDATE and end - body == 4:
                (increment,) = _INTEGER.unpack_from(data, body)
                if not increment & LARGEST_WINDOW:
                    raise ProtocolViolation("a window update by nothing")
                stream_id &= LARGEST_WINDOW
                increments[stream_id] = increments.get(stream_id, 0) + (increment & LARGEST_WINDOW)
            else:
                if end - body > self._max_size:
                    raise ProtocolViolation("a frame that is longer than allowed")
                yield kind, flags, stream_id & LARGEST_WINDOW, view[body:end]
        self._rest = data[position:]
        for stream_id, increment in increments.items():
            if increment > LARGEST_WINDOW:
                raise ProtocolViolation("a window beyond its limit")
            yield WINDOW_UPDATE, 0, stream_id, memoryview(_INTEGER.pack(increment))


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame with values by their identifiers (RFC 9113 section 6.5.2)."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in values.items()))


def headers(stream_id: int, block: bytes, max_size: int, *, end: bool) -> bytes:
    """A header block as one HEADERS frame and as many CONTINUATION frames as it takes."""
    pieces = [block[start : start + max_size] for start in range(0, len(block), max_size)]
    last = len(pieces) - 1
    return b"".join(
        frame(
            CONTINUATION if number else HEADERS,
            (END_STREAM if end and not number else 0) | (END_HEADERS if number == last else 0),
            stream_id,
            piece,
        )
        for number, piece in enumerate(pieces)
    )


def unpadded(flags: int, body: memoryview) -> memoryview:
    """The body of a DATA or HEADERS frame without its padding. Raises ProtocolViolation."""
    if not flags & PADDED:
        return body
    if not body or body[0] >= len(body):
        raise ProtocolViolation("a frame with more padding than fits")
    return body[1 : len(body) - body[0]]


class SendBuffer:
    """Bytes that wait for window, in the pieces they came in: they are copied once, into the connection's write."""

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, data: Buffer) -> None:
        if data:
            self._pieces.append(memoryview(data))
            self._size += len(data)

    def clear(self) -> None:
        self._pieces.clear()
        self._size = 0

    def move_to(self, frames: list[Buffer], stream_id: int, size: int, max_frame: int) -> None:
        """Take the first `size` bytes, as DATA frames (in pieces, to be joined) at the end of `frames`."""
        self._size -= size
        while size:
            room = min(size, max_frame)
            size -= room
            frames.append(_HEADER.pack(room >> 8, room & 0xFF, DATA, 0, stream_id))
            while room:
                piece = self._pieces[0]
                if len(piece) > room:
                    frames.append(piece[:room])
                    self._pieces[0] = piece[room:]
                    break
                frames.append(piece)
                self._pieces.popleft()
                room -= len(piece)


class ReceiveWindow:
    """What the other side may still send. It gets new window when half of what it has was consumed."""

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._left = size
        self._consumed = 0

    def take(self, size: int) -> None:
        """`size` bytes came. Raises ProtocolViolation if there was no window for them."""
        self._left -= size
        if self._left < 0:
            raise ProtocolViolation("more data than the window allowed")

    def give_back(self, size: int) -> int:
        """`size` bytes were consumed; returns the increment that is due, 0 for none."""
        self._consumed += size
        if self._consumed < self._half:
            return 0
        due, self._consumed = self._consumed, 0
        self._left += due
        return due

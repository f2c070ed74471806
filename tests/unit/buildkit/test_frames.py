"""Joining window updates changes nothing but their number."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from infra.buildkit.frames import WindowUpdates


def frame(kind: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes([kind, 0]) + struct.pack(">I", stream) + body


def update(stream: int, increment: int) -> bytes:
    return frame(8, stream, struct.pack(">I", increment))


UPDATES = st.builds(update, st.integers(0, 3), st.sampled_from([0, 1, 16384, (1 << 31) - 1]))
OTHERS = st.builds(frame, st.sampled_from([0, 1, 4, 6, 8]), st.integers(0, 3), st.binary(max_size=40))
FRAMES = st.lists(st.one_of(UPDATES, OTHERS), max_size=12)


def split(data: bytes) -> list[tuple[int, int, bytes]]:
    frames, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 3], "big")
        stream = int.from_bytes(data[position + 5 : position + 9], "big")
        frames.append((data[position + 3], stream, data[position + 9 : position + 9 + length]))
        position += 9 + length
    assert position == len(data)
    return frames


def others(frames: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    return [each for each in frames if each[0] != 8 or len(each[2]) != 4]


def windows(frames: list[tuple[int, int, bytes]]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for kind, stream, body in frames:
        if kind == 8 and len(body) == 4:
            sums[stream] = sums.get(stream, 0) + (int.from_bytes(body, "big") & 0x7FFFFFFF)
    return {stream: total for stream, total in sums.items() if total}


@given(FRAMES, st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_frames_and_windows_are_kept(frames: list[bytes], cuts: list[int]) -> None:
    """However the bytes are cut, every other frame comes through in order and each window grows by as much."""
    data = b"".join(frames)
    joiner, out, position = WindowUpdates(), bytearray(), 0
    for size in [*cuts, len(data)]:
        out += joiner.join(data[position : position + size])
        position += size
    assert others(split(bytes(out))) == others(split(data))
    assert windows(split(bytes(out))) == windows(split(data))


def test_updates_are_joined() -> None:
    """Many updates in one piece become one a stream."""
    data = b"".join(update(stream, 10) for _ in range(100) for stream in (0, 1))
    assert WindowUpdates().join(data + frame(0, 1, b"x")) == frame(0, 1, b"x") + update(0, 1000) + update(1, 1000)


def test_a_long_frame_is_passed_on_as_it_comes() -> None:
    """A frame's body is not held back until it is complete."""
    data = frame(0, 1, b"x" * 1000)
    joiner = WindowUpdates()
    assert joiner.join(data[:500]) + joiner.join(data[500:]) == data
    assert joiner.join(data[:500]) == data[:500]

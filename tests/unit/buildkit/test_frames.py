"""HTTP/2 frames: however the bytes are cut, nothing is lost; limits are kept."""

from __future__ import annotations

import struct

import pytest
from hyperframe.frame import DataFrame, Frame, WindowUpdateFrame
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.http2 import frames
from prefect_slipway.infra.buildkit.http2.errors import ProtocolViolation
from prefect_slipway.infra.buildkit.http2.frames import FrameReader, ReceiveWindow, SendBuffer

Seen = tuple[int, int, int, bytes]

UPDATES = st.builds(frames.window_update, st.integers(0, 3), st.sampled_from([1, 16384, (1 << 31) - 1]))
OTHERS = st.builds(
    frames.frame,
    st.sampled_from([frames.DATA, frames.HEADERS, frames.PING, 77]),
    st.integers(0, 255),
    st.integers(0, 3),
    st.binary(max_size=40),
)


def read(reader: FrameReader, data: bytes, cuts: list[int]) -> list[Seen]:
    found, position = [], 0
    for size in [*cuts, len(data)]:
        piece = data[position : position + size]
        found += [(kind, flags, stream, bytes(body)) for kind, flags, stream, body in reader.feed(piece)]
        position += size
    return found


def windows(seen: list[Seen]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for kind, _, stream, body in seen:
        if kind == frames.WINDOW_UPDATE:
            sums[stream] = sums.get(stream, 0) + int.from_bytes(body, "big")
    return sums


@given(st.lists(st.one_of(UPDATES, OTHERS), max_size=12), st.lists(st.integers(1, 30), max_size=40))
def test_frames_and_windows_are_kept(written: list[bytes], cuts: list[int]) -> None:
    """However the bytes are cut, every frame comes in its order and each window grows by as much."""
    data = b"".join(written)
    expected = [(f[3], f[4], int.from_bytes(f[5:9], "big"), f[9:]) for f in written]
    try:
        seen = read(FrameReader(64), data, cuts)
    except ProtocolViolation:
        assert any(total > frames.LARGEST_WINDOW for total in windows(expected).values())
        return
    assert [each for each in seen if each[0] != frames.WINDOW_UPDATE] == [
        each for each in expected if each[0] != frames.WINDOW_UPDATE
    ]
    assert windows(seen) == windows(expected)


def test_updates_are_joined() -> None:
    """Many updates in one piece become one a stream, behind the other frames."""
    data = b"".join(frames.window_update(stream, 10) for _ in range(100) for stream in (0, 1))
    seen = read(FrameReader(64), data + frames.frame(frames.DATA, 0, 1, b"x"), [])
    assert seen == [
        (frames.DATA, 0, 1, b"x"),
        (frames.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1000)),
        (frames.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1000)),
    ]


@pytest.mark.parametrize(
    "data",
    [
        frames.frame(frames.DATA, 0, 1, b"x" * 65),
        frames.frame(frames.DATA, 0, 1, b"x" * 65)[:20],
        frames.window_update(1, 0),
    ],
    ids=["too long", "too long and not complete", "an empty update"],
)
def test_limits(data: bytes) -> None:
    """A frame beyond what was allowed is a violation before it is collected, and so is an update by nothing."""
    with pytest.raises(ProtocolViolation):
        read(FrameReader(64), data, [])


@given(
    st.lists(st.binary(max_size=50), max_size=10),
    st.integers(1, 20),
    st.lists(st.integers(1, 60), max_size=20),
)
def test_data_frames(pieces: list[bytes], max_frame: int, portions: list[int]) -> None:
    """What was queued comes out in its order, in frames no longer than allowed, as far as was asked for."""
    buffer, out = SendBuffer(), bytearray()
    for piece in pieces:
        buffer.append(piece)
    for portion in [*portions, 500]:
        taken: list[frames.Buffer] = []
        buffer.move_to(taken, 5, min(portion, len(buffer)), max_frame)
        out += b"".join(taken)
    assert len(buffer) == 0
    content, position = b"", 0
    while position < len(out):
        frame, length = Frame.parse_frame_header(memoryview(out)[position : position + 9])
        assert isinstance(frame, DataFrame)
        assert frame.stream_id == 5
        assert 0 < length <= max_frame
        content += out[position + 9 : position + 9 + length]
        position += 9 + length
    assert content == b"".join(pieces)


def test_frames_as_another_implementation_has_them() -> None:
    """Headers of frames are what hyperframe writes."""
    other = WindowUpdateFrame(7, window_increment=99)
    assert frames.window_update(7, 99) == other.serialize()


@pytest.mark.parametrize(
    ("flags", "body", "content"),
    [(0, b"abc", b"abc"), (frames.PADDED, b"\x02abc\0\0", b"abc"), (frames.PADDED, b"\0abc", b"abc")],
)
def test_padding(flags: int, body: bytes, content: bytes) -> None:
    """Padding is taken off."""
    assert frames.unpadded(flags, memoryview(body)) == content


@pytest.mark.parametrize("body", [b"", b"\x04abc", b"\x01"])
def test_too_much_padding(body: bytes) -> None:
    """Padding beyond the frame is a violation."""
    with pytest.raises(ProtocolViolation):
        frames.unpadded(frames.PADDED, memoryview(body))


def test_a_receive_window() -> None:
    """New window is given once half was consumed, and data beyond the window is a violation."""
    window = ReceiveWindow(100)
    window.take(100)
    assert [window.give_back(size) for size in (20, 29, 1, 50)] == [0, 0, 50, 50]
    window.take(100)
    with pytest.raises(ProtocolViolation):
        window.take(1)

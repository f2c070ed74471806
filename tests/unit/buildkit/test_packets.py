"""Packets written by hand are what the generated class writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.files.packets import data_head, stat_packet, varint
from prefect_slipway.infra.buildkit.http2.grpc import frame
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Packet, Stat

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([1 << 14, 1 << 18, (1 << 21) + 5]))


@given(st.one_of(st.integers(0, 300), st.integers(0, (1 << 32) - 1)), SIZES)
def test_data(number: int, size: int) -> None:
    """Head and data are the generated class's message, whatever the file's number and the piece's size."""
    data = b"x" * size
    expected = Packet(type=Packet.PACKET_DATA, ID=number, data=data).SerializeToString()
    assert data_head(number, size) + data == frame(expected)


@given(st.binary(min_size=1, max_size=300), st.integers(0, (1 << 32) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
def test_stats(path: bytes, mode: int, modified: int) -> None:
    """A Stat in its packet is the generated class's message."""
    stat = Stat(path=path, mode=mode, modTime=modified)
    expected = Packet(type=Packet.PACKET_STAT, stat=stat).SerializeToString()
    assert stat_packet(stat.SerializeToString()) == frame(expected)


def test_the_last_stat() -> None:
    """The end of the announcements is a packet without a Stat."""
    assert stat_packet(b"") == frame(Packet(type=Packet.PACKET_STAT).SerializeToString())


@pytest.mark.parametrize("size", [1, 127, 128, 1 << 14, 1 << 20])
def test_a_field_of_bytes(size: int) -> None:
    """The session's BytesMessage is its field's key, the length and the data."""
    assert b"\x0a" + varint(size) + b"x" * size == BytesMessage(data=b"x" * size).SerializeToString()

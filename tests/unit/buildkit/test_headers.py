"""Header blocks that come in pieces, with a priority, or as no peer should send them."""

from __future__ import annotations

import pytest
from hpack import Encoder

from prefect_slipway.infra.buildkit.http2 import frames
from prefect_slipway.infra.buildkit.http2.errors import ProtocolViolation
from prefect_slipway.infra.buildkit.http2.headers import MAX_HEADERS, HeaderReader

SENT = [(b":status", b"200"), (b"grpc-status", b"0")]


def block() -> bytes:
    return bytes(Encoder().encode(SENT))


def test_a_block_in_two_frames_is_one_list() -> None:
    """The stream's end is told by the first frame, the list's by the last (RFC 9113, 6.10)."""
    blocks, sent = HeaderReader(), block()
    assert blocks.begin(frames.END_STREAM, 3, memoryview(sent[:1])) is None
    assert blocks.expects_more
    found = blocks.go_on(frames.END_HEADERS, 3, memoryview(sent[1:]))
    assert found is not None and (found.stream_id, found.headers, found.end) == (3, SENT, True)
    assert not blocks.expects_more


def test_a_priority_is_passed_over() -> None:
    """Five bytes before the block (RFC 9113, 6.2)."""
    body = memoryview(bytes(5) + block())
    found = HeaderReader().begin(frames.HAS_PRIORITY | frames.END_HEADERS, 1, body)
    assert found is not None and found.headers == SENT and not found.end


def test_what_no_peer_should_send() -> None:
    """A continuation of nothing or of another stream, a block without end, and one that is no HPACK."""
    with pytest.raises(ProtocolViolation, match="continuation of no header block"):
        HeaderReader().go_on(frames.END_HEADERS, 1, memoryview(block()))
    blocks = HeaderReader()
    blocks.begin(0, 1, memoryview(b""))
    with pytest.raises(ProtocolViolation, match="continuation of no header block"):
        blocks.go_on(frames.END_HEADERS, 2, memoryview(b""))
    with pytest.raises(ProtocolViolation, match="beyond what was allowed"):
        HeaderReader().begin(0, 1, memoryview(bytes(MAX_HEADERS + 1)))
    with pytest.raises(ProtocolViolation, match="cannot be read"):
        HeaderReader().begin(frames.END_HEADERS, 1, memoryview(b"\xff\xff\xff\xff\xff\xff"))

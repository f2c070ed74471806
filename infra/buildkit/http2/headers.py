"""Header blocks of an HTTP/2 connection: joined from HEADERS and CONTINUATION, decoded with `hpack`."""

from __future__ import annotations

from typing import NamedTuple

from hpack import Decoder
from hpack.exceptions import HPACKError

from prefect_slipway.infra.buildkit.http2 import frames
from prefect_slipway.infra.buildkit.http2.errors import ProtocolViolation

# A session call carries every pattern of a .dockerignore as a header.
MAX_HEADERS = 4 << 20

Headers = list[tuple[bytes, bytes]]


class HeaderList(NamedTuple):
    """A block that is complete. `end`: the stream ends with it."""

    stream_id: int
    headers: Headers
    end: bool


class HeaderReader:
    """Gathers one block at a time: RFC 9113 section 6.10 lets nothing come between its frames."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_HEADERS)
        self._flags = 0
        self._stream_id = 0
        self._block = bytearray()
        self.expects_more = False

    def begin(self, flags: int, stream_id: int, body: memoryview) -> HeaderList | None:
        """A HEADERS frame; gives the list if it is all in there. Raises ProtocolViolation."""
        body = frames.unpadded(flags, body)
        if flags & frames.HAS_PRIORITY:
            body = body[5:]
        self._flags, self._stream_id, self._block, self.expects_more = flags, stream_id, bytearray(), True
        return self.go_on(flags, stream_id, body)

    def go_on(self, flags: int, stream_id: int, body: memoryview) -> HeaderList | None:
        """A CONTINUATION frame; gives the list if that was its last. Raises ProtocolViolation."""
        if not self.expects_more or self._stream_id != stream_id:
            raise ProtocolViolation("the continuation of no header block")
        self._block += body
        if len(self._block) > MAX_HEADERS:
            raise ProtocolViolation("headers beyond what was allowed")
        if not flags & frames.END_HEADERS:
            return None
        self.expects_more = False
        try:
            headers = [(name, value) for name, value in self._decoder.decode(bytes(self._block), raw=True)]
        except (HPACKError, IndexError) as error:
            raise ProtocolViolation(f"headers that cannot be read ({type(error).__name__})") from error
        return HeaderList(stream_id, headers, bool(self._flags & frames.END_STREAM))

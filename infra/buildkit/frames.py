"""Joins the WINDOW_UPDATE frames of a piece of incoming HTTP/2.

Go's HTTP/2 server gives window back in tiny portions, two frames for each read (golang.org/x/net/http2): a quarter of a
million frames for a context of 1 GiB. One frame a stream and piece says the same for a fraction of the time in `h2`.
"""

from __future__ import annotations

import struct

_HEADER = 9  # RFC 9113 section 4.1: length (24 bits), type, flags, stream
_WINDOW_UPDATE = 8
_LARGEST = (1 << 31) - 1
_UPDATE = struct.Struct(">BHBBII")  # length in two parts, type, flags, stream, increment


class WindowUpdates:
    """Takes incoming bytes as they come, gives back the same frames with the window updates joined."""

    def __init__(self) -> None:
        self._rest = b""  # the start of a frame's header, or of a WINDOW_UPDATE
        self._body = 0  # bytes still to come of a frame that is passed through

    def join(self, data: bytes) -> bytes:
        """`data` with its WINDOW_UPDATE frames replaced by one a stream, behind the last frame that is complete."""
        if len(data) <= self._body:
            self._body -= len(data)
            return data
        data = self._rest + data
        increments: dict[int, int] = {}
        kept: list[bytes] = []
        start, position = 0, self._body
        self._rest, self._body = b"", 0
        while len(data) - position >= _HEADER:
            length = int.from_bytes(data[position : position + 3], "big")
            end = position + _HEADER + length
            if end > len(data):
                break
            if data[position + 3] == _WINDOW_UPDATE and length == 4:
                stream = int.from_bytes(data[position + 5 : position + 9], "big") & _LARGEST
                increment = int.from_bytes(data[position + 9 : end], "big") & _LARGEST
                total = increments.get(stream, 0) + increment
                # An increment of 0 is an error, and a window has a limit: both are the state machine's to judge.
                if increment and total <= _LARGEST:
                    increments[stream] = total
                    kept.append(data[start:position])
                    start = end
            position = end
        kept.append(data[start:position])
        kept += [_UPDATE.pack(0, 4, _WINDOW_UPDATE, 0, stream, total) for stream, total in increments.items()]
        if len(data) - position >= _HEADER and data[position + 3] != _WINDOW_UPDATE:
            # A long frame need not be held back until it is complete.
            self._body = position + _HEADER + int.from_bytes(data[position : position + 3], "big") - len(data)
            kept.append(data[position:])
        else:
            self._rest = data[position:]
        return b"".join(kept)

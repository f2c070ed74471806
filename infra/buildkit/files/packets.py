"""Encoded fsutil packets of the most frequent kinds, one for each file and piece of a file.

Format: protobuf's encoding of `Packet` in `proto/fsutil.proto`, behind gRPC's message prefix. Written out because the
generated class copies what goes into it, and a context is copied often enough on its way. Tested against that class.
"""

from __future__ import annotations

import struct

_PREFIX = struct.Struct(">BI")  # not compressed; length
_TYPE_DATA, _STAT, _ID, _DATA = b"\x08\x02", b"\x12", b"\x18", b"\x22"  # a field's number and wire type


def varint(value: int) -> bytes:
    """A number from 0 on."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def stat_packet(stat: bytes) -> bytes:
    """The announcement of a file, `stat` being its serialized Stat; b"" says that all have been announced."""
    packet = _STAT + varint(len(stat)) + stat if stat else b""
    return _PREFIX.pack(0, len(packet)) + packet


def data_head(number: int, size: int) -> bytes:
    """What stands in front of `size` bytes of the file that was announced as `number`; 0 bytes are its end."""
    head = _TYPE_DATA
    if number:
        head += _ID + varint(number)
    if size:
        head += _DATA + varint(size)
    return _PREFIX.pack(0, len(head) + size) + head

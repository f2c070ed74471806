"""The calls in what a client said over HTTP/2, read by RFC 9113 and RFC 7541 and not by our own layer."""

from __future__ import annotations

from collections.abc import Iterator

from hpack import Decoder

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _CONTINUATION = 0x1, 0x9
_PADDED, _PRIORITY, _END_HEADERS = 0x8, 0x20, 0x4


def calls(said: bytes) -> list[dict[str, str]]:
    """The header fields of each request of one connection, in their order."""
    assert said.startswith(_PREFACE)
    decoder = Decoder()
    found, block = [], b""
    for kind, flags, payload in _frames(said[len(_PREFACE) :]):
        if kind not in {_HEADERS, _CONTINUATION}:
            continue
        block += _fragment(payload, flags) if kind == _HEADERS else payload
        if flags & _END_HEADERS:
            found.append({str(name): str(value) for name, value in decoder.decode(block)})
            block = b""
    return [fields for fields in found if ":path" in fields]


def _frames(said: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and payload; a last frame that is not whole is left out."""
    while len(said) >= 9 and len(said) >= 9 + (length := int.from_bytes(said[:3])):
        yield said[3], said[4], said[9 : 9 + length]
        said = said[9 + length :]


def _fragment(payload: bytes, flags: int) -> bytes:
    if flags & _PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & _PRIORITY else payload

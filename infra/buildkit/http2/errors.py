"""Errors that end a connection or a stream."""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Why a stream or a connection was ended (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13

    @classmethod
    def name_of(cls, code: int) -> str:
        """The name of a code, or the number of an unknown one."""
        return cls(code).name if code in cls._value2member_map_ else str(code)


class ConnectionLost(Exception):
    """The connection ended while something still needed it. `mute`: the other side has never sent a byte."""

    def __init__(self, reason: str, *, mute: bool = False) -> None:
        super().__init__(reason)
        self.mute = mute


class ProtocolViolation(Exception):
    """The other side does not speak HTTP/2, or not gRPC on it."""


class StreamReset(Exception):
    """The other side reset the stream. `code`: an HTTP/2 error code (RFC 9113 section 7)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stream reset with code {code}")
        self.code = code

"""The session's tunnel."""

from __future__ import annotations

import asyncio

from prefect_slipway.infra.buildkit.session.tunnel import _Tunnel
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage

_GRPC_GO_LIMIT = 4 << 20


class _Call:
    """What a Control/Session call is asked to send."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def send(self, *pieces: bytes) -> None:
        self.messages.append(b"".join(pieces))


def test_what_is_written_at_once_fits_into_messages_that_a_daemon_takes() -> None:
    """Many streams that have much to send come to more than a message may have."""
    written = b"".join(number.to_bytes(4, "big") for number in range(2 << 20))
    call = _Call()
    asyncio.run(_Tunnel(call).write(written))  # type: ignore[arg-type] # of a call it needs no more
    assert all(len(message) < _GRPC_GO_LIMIT for message in call.messages)
    assert b"".join(BytesMessage.FromString(message).data for message in call.messages) == written

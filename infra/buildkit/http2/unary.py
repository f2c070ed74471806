"""The daemon's most frequent kind of call: one message in, one out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prefect_slipway.infra.buildkit.http2.grpc import Handler, M, Message, ServerCall, decode, frame


def unary(kind: Callable[[], M], answer: Callable[[M], Awaitable[Message]]) -> Handler:
    """A handler that reads a `kind` and sends what `answer` makes of it."""

    async def handle(call: ServerCall) -> None:
        await send(call, await answer(decode(kind, await call.receive() or b"")))

    return handle


async def send(call: ServerCall, message: Message) -> None:
    """Queue one message."""
    await call.send_framed(frame(message.SerializeToString()))

"""A terminal without people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Script:
    """A terminal on which one line is typed."""

    def __init__(self, line: str) -> None:
        self.typed = [f"{line}\n".encode()]
        self.seen = b""

    async def read(self) -> bytes:
        if not self.typed:
            await asyncio.Event().wait()
        return self.typed.pop()

    def write(self, data: bytes) -> None:
        self.seen += data

    def size(self) -> tuple[int, int]:
        return 120, 40

    def on_resize(self, call: Callable[[], None]) -> None:
        pass

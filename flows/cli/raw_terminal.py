"""This process's terminal for a session in a pod: raw, byte by byte, with its size."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator


class Tty:
    """Standard input and output; in raw mode within `raw()` if they are a terminal."""

    def __init__(self) -> None:
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Keys reach the pod as they are typed (Ctrl-C too), and the mode is restored whatever happens."""
        loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()
        before = termios.tcgetattr(stdin) if sys.stdin.isatty() else None
        if before is not None:
            tty.setraw(stdin)
        loop.add_reader(stdin, self._take, stdin)
        try:
            yield
        finally:
            loop.remove_reader(stdin)
            loop.remove_signal_handler(signal.SIGWINCH)
            if before is not None:
                termios.tcsetattr(stdin, termios.TCSADRAIN, before)

    async def read(self) -> bytes:
        return await self._typed.get()

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def size(self) -> tuple[int, int]:
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def on_resize(self, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, call)

    def _take(self, stdin: int) -> None:
        data = os.read(stdin, 4096)
        self._typed.put_nowait(data)
        if not data:
            asyncio.get_running_loop().remove_reader(stdin)

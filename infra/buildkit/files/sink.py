"""Destinations of an archive: a file that gets its name when it is complete, a pipe, or the caller's stream."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import secrets
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from prefect_slipway.infra.common.tasks import in_thread

Write = Callable[[bytes], Awaitable[None]]


@contextmanager
def sink(dest: Path | BinaryIO) -> Iterator[Write]:
    """Opens `dest`; what it gives writes all of its bytes and waits for them. Raises OSError."""
    if isinstance(dest, Path):
        if dest.is_file() or not dest.exists():
            with _named_at_the_end(dest) as file:
                yield partial(_write_stream, file)
        else:
            # A pipe without a reader is an error at once instead of an endless wait.
            with _opened(dest) as descriptor:
                yield partial(_write_pipe, descriptor)
    elif (pipe := _pipe_of(dest)) is not None:
        dest.flush()
        # A description of our own: not to block must not become a property of everyone's standard output.
        with _opened(Path(f"/proc/self/fd/{pipe}")) as descriptor:
            yield partial(_write_pipe, descriptor)
    else:
        yield partial(_write_stream, dest)


@contextmanager
def _named_at_the_end(dest: Path) -> Iterator[BinaryIO]:
    dest.parent.mkdir(parents=True, exist_ok=True)
    temporary = dest.with_name(f".{dest.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(dest)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _pipe_of(stream: BinaryIO) -> int | None:
    try:
        descriptor = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return None
    return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None


async def _write_stream(stream: BinaryIO, data: bytes) -> None:
    await in_thread(lambda: (stream.write(data), stream.flush()))


async def _write_pipe(descriptor: int, data: bytes) -> None:
    """In the loop and not in a thread: a reader that has stopped must not keep a cancelled build from ending."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await _writable(descriptor)


async def _writable(descriptor: int) -> None:
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)

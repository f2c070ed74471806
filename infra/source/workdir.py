"""Directories for fetched sources. What a killed process left there is removed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import re
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from prefect_slipway.infra.common.processes import Owner, is_alive, this_process
from prefect_slipway.infra.domain.errors import SourceDiskFull
from prefect_slipway.infra.source.checkout import remove

T = TypeVar("T")

_NAME = re.compile(r"source-(?P<host>[0-9a-f]{12})-(?P<pid>\d+)-(?P<started>\d+)-.+")
_STRANGERS_AGE_S = 86400


class Stopped(Exception):
    """Work in a thread was told to stop; never seen outside of `in_thread`."""


@asynccontextmanager
async def fetch_folder(workdir: Path) -> AsyncIterator[Path]:
    """A new folder, removed again if fetching fails or is cancelled; else it is the caller's to remove.

    Raises SourceDiskFull when there is no space left.
    """
    folder = None
    try:
        folder = await asyncio.to_thread(_new_folder, workdir)
        yield folder
    except BaseException as error:
        if folder is not None:
            remove(folder)
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise SourceDiskFull(f"no space is left in {workdir}") from error
        raise


async def in_thread(work: Callable[[Callable[[], None]], T]) -> T:
    """Run `work(check)` in a thread. If the caller is cancelled, `check()` raises; the thread is waited for."""
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    task = asyncio.ensure_future(asyncio.to_thread(work, check))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def _new_folder(workdir: Path) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    me = this_process()
    host = hashlib.sha256(me.host.encode()).hexdigest()[:12]
    for folder in workdir.iterdir():
        match = _NAME.fullmatch(folder.name)
        if match is not None and _is_left(folder, match, me, host):
            remove(folder)
    return Path(tempfile.mkdtemp(prefix=f"source-{host}-{me.pid}-{me.started}-", dir=workdir))


def _is_left(folder: Path, match: re.Match[str], me: Owner, host: str) -> bool:
    """Whether a process that is no more has left it."""
    if match["host"] == host:
        return not is_alive(Owner(me.host, int(match["pid"]), int(match["started"])))
    # Before a reboot, or in another container, which cannot be inspected.
    try:
        return time.time() - folder.stat().st_mtime > _STRANGERS_AGE_S
    except OSError:
        return False  # another process has just removed it

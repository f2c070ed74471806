"""A lock file that allows one change of the stack at a time; the kernel releases it if the process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect_slipway.infra.domain.errors import StateFolderUnusable
from prefect_slipway.infra.local.disk import full_disk_behind

LOCK_FILE = "lock"


@contextmanager
def home_lock(home: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of `home`, created if needed, after waiting as long as it takes (and saying so).

    Raises StateFolderUnusable, DiskFull.
    """
    try:
        descriptor = _acquire(home / LOCK_FILE, progress)
    except OSError as error:
        raise full_disk_behind(error, home) or StateFolderUnusable(
            f"the state directory {home} cannot be used ({error.strerror})"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(path: Path, progress: Callable[[str], None]) -> int:
    while True:
        # An existing folder keeps its mode: it may be anything that SLIPWAY_HOME names.
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another `slipway up` or `slipway down` to end")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_current(path, descriptor):
            return descriptor
        # Whoever held it removed the home with the file: what was locked here protects nothing.
        os.close(descriptor)


def _is_current(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False

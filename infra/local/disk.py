"""Disk space of the state directory: what a start needs, and a full disk as the cause of failures."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from prefect_slipway.infra.domain.errors import BuilderDiskFull, DaemonFailed, DiskFull, SlipwayError, SourceDiskFull
from prefect_slipway.infra.local.connection import STATE_FILE

START_NEEDS = 128 << 20
"""Bytes that must be free for a start; all parts and a small image take a fifth of it."""

FULL_BELOW = 32 << 20
"""Bytes below which a disk counts as full: the databases of OpenBao and containerd grow by 16 MiB at a time (bbolt,
db.go, DefaultAllocSize)."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_SAY_SO = (BuilderDiskFull, SourceDiskFull, DaemonFailed)


def check_space(home: Path, needed: int = FULL_BELOW) -> None:
    """Raise DiskFull if fewer than `needed` bytes are free for the state folder, which need not exist yet."""
    if full := _full(home, needed):
        cache = " (`slipway builder prune` removes the build cache)" if (home / STATE_FILE).exists() else ""
        full.action = f"free some space on it{cache}, or set SLIPWAY_HOME to a directory on a larger disk"
        raise full


def _full(folder: Path, needed: int = FULL_BELOW) -> DiskFull | None:
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    disk = os.statvfs(there)
    # Space that is kept back for root is free for root's daemons.
    free = (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize
    mount = next(path for path in (there, *there.parents) if path.is_mount())
    if free < needed:
        what = "is full" if free < FULL_BELOW else "has too little space"
        return DiskFull(f"the disk {mount} {what}: {free >> 20} MiB are free, {folder} needs {needed >> 20} MiB")
    if disk.f_files and not disk.f_favail:  # btrfs and others have no fixed number of files, and say 0
        return DiskFull(f"the disk {mount} of {folder} is full: no more files can be created")
    return None


def full_disk_behind(error: BaseException, home: Path) -> DiskFull | None:
    """The full disk that explains `error`, None where something else does.

    The daemons of the stack in `home` show a full disk in many ways: by status 500, by breaking off, by ending.
    """
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        named = [Path(os.fsdecode(error.filename)).parent] if isinstance(error.filename, str | bytes) else []
        found = (_full(folder) for folder in (*named, home, *_temporary()))
        return next(filter(None, found), None) or DiskFull("a disk is full", details=str(error))
    if isinstance(error, SlipwayError) and not error.retryable and not isinstance(error, _SAY_SO):
        return None
    if not (home / STATE_FILE).exists():
        return None
    try:
        check_space(home)
    except DiskFull as full:
        full.details = f"{error.name}: {error.cause}" if isinstance(error, SlipwayError) else type(error).__name__
        return full
    return None


def _temporary() -> list[Path]:
    import tempfile  # a command that starts fast does not pay for it

    try:
        return [Path(tempfile.gettempdir())]
    except FileNotFoundError:  # each that it tried is full or cannot be written
        return []

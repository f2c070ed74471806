"""Reservations of versions on this machine: a locked file each, let go by the kernel when its process dies.

`flock(2)` belongs to the open file, so two releases in one process exclude each other as well, and a process that is
killed leaves an unlocked file behind: what it had reserved is known, and that it is dead is certain.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_POLL_S = 0.02


class HeldClaim:
    """A claim this process holds. `text`: what was noted in it last."""

    def __init__(self, name: str, path: Path, descriptor: int, text: str) -> None:
        self.name = name
        self.text = text
        self._path = path
        self._descriptor: int | None = descriptor

    def write(self, text: str) -> None:
        """Replace the claim's text; a crash in between leaves the old or the new one."""
        if self._descriptor is None:
            raise ValueError(f"the claim {self.name} was let go")
        # The lock is on this inode, so the file cannot be replaced by a rename: append, and read the last line.
        os.write(self._descriptor, text.encode() + b"\n")
        os.fsync(self._descriptor)
        self.text = text

    def remove(self) -> None:
        """End the claim. Safe to call twice."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            self.let_go()

    def let_go(self) -> None:
        """Leave the claim as a dead process would. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class FileClaims:
    """All claims on one subject (an image's repository), below `home/claims`."""

    def __init__(self, home: Path, subject: str) -> None:
        self._folder = home / "claims" / hashlib.sha256(subject.encode()).hexdigest()[:24]

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Keep all other users of these claims out for a moment (kept short: a look at the registry's tags)."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(descriptor):  # noqa: ASYNC110 (another process holds it: there is no event to wait for)
                await asyncio.sleep(_POLL_S)
            yield
        finally:
            os.close(descriptor)

    def survey(self) -> tuple[list[str], list[HeldClaim]]:
        """Names held by living processes, and dead processes' claims, which this process now holds.

        To be called within `exclusive`.
        """
        living, dead = [], []
        for path in sorted(self._folder.glob("*.claim")):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            if _try_lock(descriptor):
                lines = path.read_text().splitlines()
                dead.append(HeldClaim(path.stem, path, descriptor, lines[-1] if lines else ""))
            else:
                os.close(descriptor)
                living.append(path.stem)
        return living, dead

    def take(self, name: str, text: str) -> HeldClaim:
        """Claim `name`, which nobody holds. To be called within `exclusive`, after `survey`."""
        path = self._folder / f"{name}.claim"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if not _try_lock(descriptor):
            raise BlockingIOError(f"the new claim {name} is locked already")
        held = HeldClaim(name, path, descriptor, "")
        held.write(text)
        return held


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

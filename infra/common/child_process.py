"""Run programs for a limited time, and stop them with their caller."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from typing import Any

_GRACE_S = 2.0
_OWN = ("ACTIONS_ID_TOKEN_REQUEST_", "BAO_", "PREFECT_", "SLIPWAY_", "VAULT_")


def environment_of_others(env: Mapping[str, str]) -> dict[str, str]:
    """Without what leads to the run's own secrets, or would make a program a part of the run."""
    return {name: value for name, value in env.items() if not name.startswith(_OWN)}


@contextlib.asynccontextmanager
async def child_process(*argv: str, **options: Any) -> AsyncIterator[Process]:
    """A program that is ended, with the processes that it started, when the block is left before it has ended.

    `options`: of `asyncio.create_subprocess_exec`. It has no terminal, so that nothing asks there. Raises OSError.
    """
    process = await asyncio.create_subprocess_exec(*argv, start_new_session=True, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: Process) -> None:
    """SIGTERM, so that it can clean up (git: its lock files); SIGKILL if that does not help or the wait is cut off."""
    try:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

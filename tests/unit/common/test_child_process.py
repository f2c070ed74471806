"""Programs end with what they were run for."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from prefect_slipway.infra.common.child_process import child_process

# Starts a program of its own, says its number, and ignores SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
inner = subprocess.Popen(["sleep", "600"])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(inner.pid, flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_what_a_program_says() -> None:
    """Its streams are the caller's; one that has ended by itself is left alone."""
    async with child_process("sh", "-c", "cat; exit 3", stdin=PIPE, stdout=PIPE) as process:
        out, _ = await process.communicate(b"text")
    assert (out, process.returncode) == (b"text", 3)


async def test_it_ends_with_its_children() -> None:
    """Also one that ignores SIGTERM, when the caller fails."""
    pids = []
    with pytest.raises(ZeroDivisionError):
        async with child_process(sys.executable, "-c", STUBBORN, stdout=PIPE) as process:
            assert process.stdout is not None
            pids = [process.pid, int(await process.stdout.readline())]
            raise ZeroDivisionError
    assert process.returncode is not None
    while any(map(is_running, pids)):
        await asyncio.sleep(0.01)


async def test_it_asks_nobody() -> None:
    """It has no terminal: a session of its own."""
    async with child_process("sh", "-c", "ps -o sid= -p $$", stdout=PIPE) as process:
        out, _ = await process.communicate()
    assert int(out) == process.pid != os.getsid(0)


async def test_a_program_that_is_not_there() -> None:
    """The system says so, before the block."""
    with pytest.raises(FileNotFoundError):
        async with child_process("/no/such/program"):
            pytest.fail("it ran")

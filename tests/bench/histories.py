"""`--bump auto` over a long history."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.bench.measure import Row, Side, in_turn, median
from tests.conftest import SLIPWAY

_TYPES = ("fix", "docs", "chore", "perf", "test")
_BODY = "\n\nWhat it is about, and why it was done.\nMore of it.\n\nRefs: #1\n"


def measure(folder: Path, env: Mapping[str, str], runs: int, count: int) -> Row:
    """A plan that reads `count` commits since the last version, whose deciding one is the oldest; git's log beside it."""
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", folder], check=True)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=_stream(count), check=True)
    subprocess.run(["git", "tag", "v1.0.0", "main~" + str(count)], cwd=folder, check=True)
    subprocess.run(["git", "reset", "--quiet", "--hard", "main"], cwd=folder, check=True)
    ours = Side([SLIPWAY, "plan", folder, "--bump", "auto"], env)
    theirs = Side(["git", "-C", folder, "log", "v1.0.0..main"], env)
    pairs = in_turn(ours, theirs, runs)
    ours_s, theirs_s = (median(side, "wall_s") for side in pairs)
    note = f"peak {median(pairs[0], 'peak_mib'):.0f} MiB; beside it: git log"
    return Row(f"auto over {count:,} commits", ours_s, theirs_s, ours_s, 5.0, unit="s", note=note, runs=pairs)


def _stream(count: int) -> bytes:
    """For git-fast-import(1)."""
    lines = []
    for number in range(count + 1):
        header = "feat: the first of them" if number == 1 else f"{_TYPES[number % len(_TYPES)]}: number {number}"
        message = (header + _BODY).encode()
        who = f"T <t@example.com> {1_600_000_000 + number} +0000"
        lines.append(f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n".encode() + message)
        if number == 0:
            lines.append(b"M 644 inline Dockerfile\ndata 13\nFROM scratch\n\n")
    return b"".join(lines)

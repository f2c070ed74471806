"""`--bump auto` over a long history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.measure import Row, Side, in_turn, median
from tests.conftest import SLIPWAY
from tests.git_repository import git, make_long_history

_TYPES = ("fix", "docs", "chore", "perf", "test")
_BODY = "\n\nWhat it is about, and why it was done.\nMore of it.\n\nRefs: #1\n"


def measure(folder: Path, env: Mapping[str, str], runs: int, count: int) -> Row:
    """A plan that reads `count` commits since the last version, the oldest of which decides; beside it git's log."""
    make_long_history(folder, _messages(count))
    git(folder, "tag", "v1.0.0", f"main~{count}")
    ours = Side([SLIPWAY, "plan", folder, "--bump", "auto"], env)
    theirs = Side(["git", "-C", folder, "log", "v1.0.0..main"], env)
    pairs = in_turn(ours, theirs, runs)
    ours_s, theirs_s = (median(side, "wall_s") for side in pairs)
    note = f"peak {median(pairs[0], 'peak_mib'):.0f} MiB; beside it: git log"
    return Row(f"auto over {count:,} commits", ours_s, theirs_s, ours_s, 5.0, unit="s", note=note, runs=pairs)


def _messages(count: int) -> Iterator[str]:
    yield "docs: what was released"
    yield f"feat: the first since then{_BODY}"
    for number in range(1, count):
        yield f"{_TYPES[number % len(_TYPES)]}: number {number}{_BODY}"

"""The plan of 200 components over a long history."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.measure import Row, Side, in_turn, median
from tests.conftest import SLIPWAY
from tests.git_repository import git

_COMPONENTS = 200
_TYPES = ("feat", "fix", "docs", "chore")


def measure(folder: Path, env: Mapping[str, str], runs: int, commits: int, back: int) -> Row:
    """A plan of all; each component's last version is among the last `back` of the commits. Beside it git's log of
    these commits with the files that they change."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    stream = b"".join(_history(random.Random(1), commits, back))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=stream, check=True)
    git(folder, "reset", "--quiet", "--hard", "main")
    ours = Side([SLIPWAY, "plan", folder, "--image", "r.example/shop", "--config-allow", "image"], env)
    theirs = Side(["git", "-C", folder, "log", "--name-only", f"main~{back}..main"], env)
    pairs = in_turn(ours, theirs, runs)
    ours_s, theirs_s = (median(side, "wall_s") for side in pairs)
    note = f"peak {median(pairs[0], 'peak_mib'):.0f} MiB; of {commits:,} commits; beside it: git log --name-only"
    return Row(f"components over {back:,} commits", ours_s, theirs_s, ours_s, 2.0, unit="s", note=note, runs=pairs)


def _history(chance: random.Random, commits: int, back: int) -> Iterator[bytes]:
    for number in range(1, commits + 1):
        part = chance.randrange(_COMPONENTS)
        who = f"Test <test@example.com> {1_600_000_000 + number} +0000"
        yield f"commit refs/heads/main\nmark :{number}\ncommitter {who}\n".encode()
        yield _data(f"{chance.choice(_TYPES)}: change {number}\n\nWhat it is about, and why it was done.\n")
        if number == 1:
            tables = (f'[components.c{each}]\npath = "packages/c{each}"\n' for each in range(_COMPONENTS))
            needs = (f'depends_on = ["c{each - 1}"]\n' if each % 5 else "" for each in range(_COMPONENTS))
            yield _file("slipway.toml", "".join(f"{table}{need}" for table, need in zip(tables, needs, strict=True)))
            for each in range(_COMPONENTS):
                yield _file(f"packages/c{each}/Dockerfile", "FROM scratch\n")
        yield _file(f"packages/c{part}/src/{chance.randrange(20)}.txt", f"{number}\n")
    for each in range(_COMPONENTS):
        yield f"reset refs/tags/c{each}/v1.0.0\nfrom :{commits - chance.randrange(back)}\n\n".encode()


def _file(name: str, text: str) -> bytes:
    return f"M 644 inline {name}\n".encode() + _data(text)


def _data(text: str) -> bytes:
    return f"data {len(text.encode())}\n{text}\n".encode()

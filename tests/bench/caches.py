"""A release on a builder that has just been made, with a registry cache, over the same on a warm one."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.local.connection import StackConnection
from tests.bench.measure import Row
from tests.conftest import SLIPWAY
from tests.releases import BASE, make_source, run_line

# Two steps that wait, as for a download, and write 20 MB that nothing can compress; then what changes.
_WORK = "sleep 2; head -c 20000000 /dev/urandom > /data-"
_DOCKERFILE = BASE + "".join(run_line(_WORK + step) for step in "ab") + "COPY line /line\n" + run_line("cat /line > /l")


def measure(
    folder: Path, connection: StackConnection, env: Mapping[str, str], runs: int, *, changed: bool, goal: float
) -> Row:
    """Seconds until the release is public, by its own account: the export comes after that. The note has the whole
    process's. `changed`: each release has one changed line, in the last but one step."""
    source = make_source(folder, _DOCKERFILE)
    line = source / "line"
    line.write_text("first\n")
    _release(source, env, "--cache", "on")
    new: list[tuple[float, float]] = []
    warm: list[tuple[float, float]] = []
    for _ in range(runs):
        for side, mode in ((new, "on"), (warm, "off")):
            if side is new:
                asyncio.run(_forget(connection))
            else:
                # What a registry cache gave the builder is not all there: it would be built again without that cache.
                _release(source, env, "--cache", "off")
            if changed:
                line.write_text(f"{uuid.uuid4()}\n")
            side.append(_release(source, env, "--cache", mode))
    ours, theirs = (statistics.median(public for public, _ in side) for side in (new, warm))
    wholes = " / ".join(f"{statistics.median(whole for _, whole in side):.2f}" for side in (new, warm))
    case = "new/warm builder, " + ("one line" if changed else "unchanged")
    return Row(case, ours, theirs, ours / theirs, goal, note=f"whole processes {wholes} s")


def _release(source: Path, env: Mapping[str, str], *options: str) -> tuple[float, float]:
    """Seconds of one release: as it says, and of the process."""
    begun = time.monotonic()
    command: list[str | Path] = [SLIPWAY, "release", source, "--format", "json", *options]
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["duration_s"]), time.monotonic() - begun


async def _forget(connection: StackConnection) -> None:
    async with BuildKit(BuilderAddress.parse(connection.builder)) as builder:
        async for _ in builder.prune(everything=True):
            """Until its cache is empty, as of a builder that has just been made."""

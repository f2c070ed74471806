"""A release for two platforms on a node each, whose results become one index, over the same on one builder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.local.connection import StackConnection
from tests.bench.measure import Row, Side, ratio
from tests.conftest import SLIPWAY
from tests.declaring import DeclaringRelay
from tests.releases import make_source

_PLATFORMS = ("linux/amd64", "linux/arm64")
# Nothing of it is executed, so that every machine builds both.
_DOCKERFILE = "FROM scratch\nARG TARGETARCH\nCOPY busybox /busybox-$TARGETARCH\n"


def measure(folder: Path, connection: StackConnection, env: Mapping[str, str], runs: int) -> Row:
    """All cached; the nodes are the stack's engine twice, so that only the way differs."""
    source = make_source(folder, _DOCKERFILE)
    options = [*(f"--platform={each}" for each in _PLATFORMS), "--again"]
    command: list[str | Path] = [SLIPWAY, "release", source, *options]

    async def measured() -> Row:
        engine = BuilderAddress.parse(connection.builder).path
        async with DeclaringRelay(engine, _PLATFORMS[0]) as first, DeclaringRelay(engine, _PLATFORMS[1]) as second:
            nodes = Side([*command, "--builder", f"{first.address},{second.address}"], env)
            one = Side([*command, "--emulate"], env)
            note = "both on the same engine"
            return await asyncio.to_thread(ratio, "two platforms, nodes/one builder", nodes, one, runs, 1.2, note)

    return asyncio.run(measured())

"""A release imports a registry cache before it builds, and exports one when it is public."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.buildkit import BuilderAddress, BuildKit
from tests import patient
from tests.faults import front
from tests.git_repository import git
from tests.integration.release.test_build_options import Safe
from tests.releases import BASE, Traces, make_source, registry_login, result_of, run_line
from tests.warm import Ended, WarmStarter

ON = ("--cache", "on", "--output", "json")


def forget(traces: Traces) -> None:
    """Empty the builder's own cache: from now on it is like one that has just been made."""

    async def prune() -> None:
        async with BuildKit(BuilderAddress.parse(traces.connection.builder)) as builder:
            async for _ in builder.prune(everything=True):
                """Until it is done."""

    asyncio.run(prune())


def slow_to_make(folder: Path) -> Path:
    """A source of two stages; what the first one makes is not in the image."""
    steps = run_line(f"echo {folder} > /made") + "FROM scratch\nCOPY --from=maker /made /made\n"
    return make_source(folder, BASE.replace("scratch", "scratch AS maker") + steps)


def place(result: dict[str, Any], tag: str) -> str:
    return f"{result['image']}:{tag}"


def test_a_new_builder_takes_every_step_from_the_cache(
    commands: WarmStarter, traces: Traces, tmp_path: Path
) -> None:
    """The first release exports the cache when it is public and recorded, the next one on an empty builder runs no
    step; report and result say so, and versions take no notice of the cache's tag.
    """
    source = slow_to_make(tmp_path / "app-cached")
    first = commands.run("release", source, *ON)
    result = result_of(first)
    (cache,) = result["caches"]
    assert (cache["imported"], cache["exported"]) == ([], place(result, "buildcache"))
    assert cache["size"] > 0 and cache["seconds"] > 0
    assert result["warnings"] == []
    assert traces.tags(source.name) == ["0.1.0", "buildcache"]
    said = first.stderr
    assert said.index("> tag") < said.index("> record") < said.index("> export cache") < said.index("> clean up")

    forget(traces)
    second = result_of(commands.run("release", source, *ON, "--again", "--moving-tags"))
    assert second["version"] == "0.2.0"
    assert second["cached_steps"] == second["steps"] == 4
    assert second["caches"][0]["imported"] == [place(result, "buildcache")]
    assert traces.tags(source.name) == ["0", "0.1.0", "0.2", "0.2.0", "buildcache", "latest"]
    report = traces.reports(source.name)[0]
    assert "imported from" in report and "exported to" in report

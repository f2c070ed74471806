"""Commands that do little: what they take is what they import."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from prefect_slipway.infra.local.connection import StackConnection
from tests.bench.measure import Row, Side, in_turn, median, ratio
from tests.conftest import SLIPWAY
from tests.integration.relay.conftest import make_deployment
from tests.releases import make_source


class Place(NamedTuple):
    """`folder`: where sources are made."""

    folder: Path
    connection: StackConnection
    env: Mapping[str, str]
    runs: int


def shown_help(place: Place) -> Row:
    return _seconds("slipway --help", place, 0.06, "--help")


def plan(place: Place) -> Row:
    return _seconds("plan", place, 0.5, "plan", make_source(place.folder / "planned"))


def trigger(place: Place) -> Row:
    """A run of a release's deployment, whose request is read before."""
    make_deployment(
        place.connection.prefect_api_url,
        "bench",
        "release",
        entrypoint="prefect_slipway.flows.release.release",
        parameter_openapi_schema={},
    )
    return _seconds(
        "trigger", place, 0.7, "trigger", "bench/release", "--param", "request.source=https://example.com/a"
    )


def bake_print(place: Place) -> Row:
    source = make_source(place.folder / "printed")
    file = source / "docker-bake.json"
    file.write_text(json.dumps({"target": {"default": {"tags": ["registry.example/a:1"]}}}))
    sides = (
        Side([SLIPWAY, "bake", "--source", source, "--print"], place.env),
        Side(["docker", "buildx", "bake", "--print", "-f", file], place.env),
    )
    return ratio("bake --print", *sides, place.runs * 3, 1.0)


def _seconds(case: str, place: Place, goal: float, *command: str | Path) -> Row:
    """Seconds of our side; the other one is the interpreter alone."""
    sides = Side([SLIPWAY, *command], place.env), Side([sys.executable, "-c", "pass"], place.env)
    runs = in_turn(*sides, place.runs * 3)
    ours, theirs = (median(side, "wall_s") for side in runs)
    cpu = f"CPU {median(runs[0], 'cpu_s'):.3f} / {median(runs[1], 'cpu_s'):.3f} s, of Python alone"
    return Row(case, ours, theirs, ours, goal, unit="s", note=cpu, runs=runs)


CASES: Mapping[str, Callable[[Place], Row]] = {
    "help": shown_help,
    "plan": plan,
    "trigger": trigger,
    "print": bake_print,
}
"""By what is typed in CASES."""

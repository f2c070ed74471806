"""Cases on an embedded stack of their own: `slipway release` over `slipway build --push`."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.stack import Stack
from tests.bench import caches, components, contexts, histories, platforms, sets, starts
from tests.bench.measure import Row, Side, in_turn, median, ratio, run
from tests.conftest import SLIPWAY, run_slipway, stack_home
from tests.releases import make_source

_LINES = 100_000
# A line of output, in buildx's plain wording; the Dockerfile's own line goes on behind its numbers.
_NUMBER = re.compile(r" (1[01]\d{5})$", re.MULTILINE)
_RECORDS_AT_ONCE = 200


class Releases:
    """`folder`: where sources and outputs are made."""

    def __init__(self, folder: Path, connection: StackConnection, env: Mapping[str, str], runs: int) -> None:
        self._folder = folder
        self._connection = connection
        self._env = env
        self._runs = runs

    def release(self) -> Row:
        """All cached: what a release costs beyond the build and push that are in it. What signing adds to that is the
        case `sign`."""
        release, build = self._sides(make_source(self._folder / "source"))
        sides = replace(release, command=[*release.command, "--sign", "none"]), build
        for side in sides:
            run(side)
        runs = in_turn(*sides, self._runs)
        ours, theirs = (median(side, "wall_s") for side in runs)
        return Row("release over build --push", ours, theirs, ours - theirs, 1.0, unit="s more", runs=runs)

    def sign(self) -> Row:
        """All cached: what signing the image, its platform and its attestations adds to a release."""
        source = make_source(self._folder / "signed")
        signed, plain = (
            Side([SLIPWAY, "release", source, *options], self._env) for options in ((), ("--sign", "none"))
        )
        run(signed)
        runs = in_turn(signed, plain, self._runs)
        ours, theirs = (median(side, "wall_s") for side in runs)
        return Row("signed release over unsigned", ours, theirs, ours - theirs, 0.5, unit="s more", runs=runs)

    def logs(self) -> Row:
        """100,000 lines: a release, which records them, over a plain build.

        What a release takes longer than a build where the same steps print nothing is taken off: that is the case
        `release`. The note has the ratio of the whole processes, too.
        """
        busybox = Path(shutil.which("busybox") or "/bin/busybox")
        said = self._folder / "said"
        quiet = in_turn(*self._sides(contexts.logging(self._folder / "quiet", busybox, 0), "--no-cache"), self._runs)
        fixed = median(quiet[0], "wall_s") - median(quiet[1], "wall_s")
        release, build = self._sides(contexts.logging(self._folder / "logs", busybox, _LINES), "--no-cache")
        records = self._records()
        row = ratio("100,000 lines, release/build", release, replace(build, stderr=said), self._runs, 1.2)
        lost = (
            self._runs * _LINES - sum(len(_numbers(text)) for text in self._by_run(records)),
            self._runs * _LINES - len(_NUMBER.findall(said.read_text())),
        )
        note = f"with a release's fixed {fixed:.2f} s: {row.value:.2f} x, lines lost: {lost[0]} / {lost[1]}"
        return replace(row, ours=row.ours - fixed, value=(row.ours - fixed) / row.theirs, note=note)

    def dag(self) -> Row:
        """Twenty images as one DAG, of short steps; neither side attests or signs anything."""
        return self._dag(2)

    def dag_signed(self) -> Row:
        """The same with what buildx does not do: signed, with provenance."""
        return self._dag(2, signed=True)

    def dag_long(self) -> Row:
        """Unsigned, with steps that take as long as those of many an application do."""
        return self._dag(10)

    def _dag(self, seconds: int, *, signed: bool = False) -> Row:
        folder = self._folder / f"dag-{seconds}{'-signed' if signed else ''}"
        return sets.measure(folder, self._connection, self._env, self._runs, seconds, signed=signed)

    def auto(self) -> Row:
        """What the commits ask for, of as many as a monorepo has before its first version by them."""
        return histories.measure(self._folder / "auto", self._env, self._runs, 100_000)

    def components(self, back: int) -> Row:
        """The components of a monorepo with a long history, `back` commits after their last versions at most."""
        return components.measure(self._folder / f"components-{back}", self._env, self._runs, 100_000, back)

    def cache(self) -> Row:
        """Nothing has changed, and the builder is new."""
        folder = self._folder / "cache"
        return caches.measure(folder, self._connection, self._env, self._runs, changed=False, goal=1.3)

    def cache_line(self) -> Row:
        """One line has changed, and the builder is new."""
        folder = self._folder / "cache-line"
        return caches.measure(folder, self._connection, self._env, self._runs, changed=True, goal=1.5)

    def platforms(self) -> Row:
        """Two platforms, on a node each."""
        return platforms.measure(self._folder / "platforms", self._connection, self._env, self._runs)

    def start(self, case: Callable[[starts.Place], Row]) -> Row:
        """A command that does little."""
        return case(starts.Place(self._folder, self._connection, self._env, self._runs))

    def _sides(self, source: Path, *options: str) -> tuple[Side, Side]:
        image = f"{self._connection.registry}/{source.name}"
        build: list[str | Path] = [SLIPWAY, "build", source, "--push", "--tag", f"{image}:bench", *options]
        return Side([SLIPWAY, "release", source, *options], self._env), Side(build, self._env)

    def _records(self) -> int:
        return sum(1 for _ in self._log(0))

    def _by_run(self, skip: int) -> list[str]:
        """What the Prefect server has of each flow run, but for the first `skip` records."""
        runs: dict[str, list[str]] = {}
        for record in self._log(skip):
            runs.setdefault(str(record["flow_run_id"]), []).append(str(record["message"]))
        return ["\n".join(messages) for messages in runs.values()]

    def _log(self, offset: int) -> Iterator[dict[str, object]]:
        while True:
            request = urllib.request.Request(
                f"{self._connection.prefect_api_url}/logs/filter",
                json.dumps({"offset": offset, "limit": _RECORDS_AT_ONCE, "sort": "TIMESTAMP_ASC"}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                records = json.load(answer)
            yield from records
            offset += len(records)
            if len(records) < _RECORDS_AT_ONCE:
                return


def _numbers(text: str) -> set[str]:
    return set(_NUMBER.findall(text))


@contextmanager
def releases(folder: Path, runs: int) -> Iterator[Releases]:
    """An embedded stack, all of it running."""
    with stack_home() as env:
        started = run_slipway("up", env=env)
        if started.returncode:
            raise SystemExit(started.stderr)
        yield Releases(folder, Stack(StackConfig.from_env(env)).connection(), env, runs)


CASES: Mapping[str, Callable[[Releases], Row]] = {
    "release": Releases.release,
    "sign": Releases.sign,
    "logs": Releases.logs,
    "dag": Releases.dag,
    "dag-signed": Releases.dag_signed,
    "dag-long": Releases.dag_long,
    "auto": Releases.auto,
    "components": partial(Releases.components, back=10_000),
    "components-old": partial(Releases.components, back=99_000),
    "cache": Releases.cache,
    "cache-line": Releases.cache_line,
    "platforms": Releases.platforms,
    **{name: partial(Releases.start, case=case) for name, case in starts.CASES.items()},
}
"""By what is typed in CASES."""

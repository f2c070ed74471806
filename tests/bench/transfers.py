"""Cases on one private engine: `slipway build` over `docker buildx build`, both with `--output type=cacheonly`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench import contexts
from tests.bench.measure import Row, Side, in_turn, median, ratio, run
from tests.conftest import SLIPWAY, clean_environment
from tests.engine import private_engine

_FILES = 20_000
_MORE_FILES = 200_000


class Transfers:
    """`folder`: where the contexts are made, each when a case first needs it."""

    def __init__(self, folder: Path, socket: Path, runs: int) -> None:
        self._folder = folder
        self._socket = socket
        self._runs = runs
        self._env = clean_environment(DOCKER_HOST=f"unix://{socket}", BUILDX_CONFIG=str(folder / "buildx"))

    def cached(self) -> Row:
        """Everything from the cache, a small context."""
        sides = self._sides(self._context("small", contexts.small))
        return ratio("all cached, small context", *self._warmed(sides), self._runs * 3, 1.0)

    def one_file(self) -> Row:
        """A context that is one file of 1 GiB, nothing cached."""
        sides = self._sides(self._context("one", contexts.one_file), before=self._prune)
        return ratio("one file of 1 GiB", *sides, self._runs, 1.0)

    def many_files(self) -> Row:
        """20,000 files of 2 kB, nothing cached."""
        return ratio("20,000 files", *self._sides(self._many(), before=self._prune), self._runs, 1.0)

    def unchanged(self) -> Row:
        """The same context once more."""
        return ratio("the same, unchanged", *self._warmed(self._sides(self._many())), self._runs, 1.0)

    def one_changed(self) -> Row:
        """The same context with one file changed before each run."""
        context = self._many()
        sides = self._sides(context, before=lambda: contexts.change_one(context))
        return ratio("the same, one file changed", *self._warmed(sides), self._runs, 1.0)

    def memory(self) -> Row:
        """Our peak memory at ten times as many files."""
        more = self._context("more", partial(contexts.many_files, count=_MORE_FILES, size=50))
        few, many = (self._sides(context, before=self._prune)[0] for context in (self._many(), more))
        runs = in_turn(many, few, 1)
        most, least = (median(side, "peak_mib") for side in runs)
        return Row("MiB, 200,000 / 20,000 files", most, least, most / least, 1.5, runs=runs)

    def _many(self) -> Path:
        return self._context("many", partial(contexts.many_files, count=_FILES))

    def _context(self, name: str, make: Callable[[Path], Path]) -> Path:
        folder = self._folder / name
        return folder if folder.exists() else make(folder)

    def _sides(self, context: Path, before: Callable[[], None] = lambda: None) -> tuple[Side, Side]:
        common = ["--output", "type=cacheonly", "--network", "host", str(context)]
        ours: list[str | Path] = [SLIPWAY, "build", "--builder", f"docker://{self._socket}", *common]
        theirs = ["docker", "buildx", "build", *common]
        return Side(ours, self._env, before), Side(theirs, self._env, before)

    @staticmethod
    def _warmed(sides: tuple[Side, Side]) -> tuple[Side, Side]:
        for side in sides:
            run(side)
        return sides

    def _prune(self) -> None:
        subprocess.run(
            ["docker", "builder", "prune", "--all", "--force"], env=self._env, check=True, stdout=subprocess.DEVNULL
        )


@contextmanager
def transfers(folder: Path, runs: int) -> Iterator[Transfers]:
    """An engine of its own, with its state in `folder`."""
    (folder / "engine").mkdir()
    with private_engine(folder / "engine") as address:
        yield Transfers(folder, Path(address.removeprefix("docker://")), runs)


CASES = {
    "cached": Transfers.cached,
    "one-file": Transfers.one_file,
    "many-files": Transfers.many_files,
    "unchanged": Transfers.unchanged,
    "one-changed": Transfers.one_changed,
    "memory": Transfers.memory,
}
"""By what is typed in CASES."""

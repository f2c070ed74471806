"""One reading of the history for all parts says the same as git says about each."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.patterns import matches
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.history import History
from prefect_slipway.infra.source.whole_history import WholeHistory, touching
from tests.git_repository import commit, git, make_repository

_NAME = st.sampled_from(["a", "b", "ab"])
_FILE = st.lists(_NAME, min_size=1, max_size=4).map("/".join)
_PATTERN = st.one_of(
    _FILE,
    _FILE.map(lambda name: f"{name}/**"),
    _FILE.map(lambda name: f"!{name}/**"),
    st.sampled_from(["**", "a/*", "**/b", "?b/**", "!**/ab"]),
)


@given(st.dictionaries(st.sampled_from("xyz"), st.lists(_PATTERN, min_size=1), min_size=1), st.lists(_FILE))
def test_files_are_looked_up_as_they_match(paths: dict[str, list[str]], files: list[str]) -> None:
    paths = {part: ["c/**", *patterns] for part, patterns in paths.items()}
    of = touching(paths)
    for name in files:
        assert of(name) == {part for part, patterns in paths.items() if matches(patterns, name)}


@pytest.mark.parametrize("seed", range(3))
def test_as_git_log_of_each_part(tmp_path: Path, seed: int) -> None:
    """With branches, merges, moved files and file names of all sorts; git limits its log to a directory."""
    chance = random.Random(seed)
    folder = make_repository(tmp_path / "app", {"a/x": "0", "b/x": "0", "c/x": "0"})
    for number in range(30):
        kind = chance.randrange(6)
        if kind == 0:
            git(folder, "checkout", "--quiet", "-B", "side", f"HEAD~{chance.randrange(min(number, 4) or 1)}")
            commit(folder, f"feat: side {number}", {f"{chance.choice('abc')}/side {number}\n": ""})
            git(folder, "checkout", "--quiet", "main")
            git(folder, "merge", "--quiet", "--no-ff", "-m", f"Merge: {number}\n\nBREAKING CHANGE: x", "side")
        elif kind == 1:
            git(folder, "mv", f"{chance.choice('abc')}/x", f"{chance.choice('abc')}/moved{number}")
            commit(folder, f"refactor: move {number}", {f"{part}/x": str(number) for part in "abc"})
        else:
            commit(folder, f"fix: {number}", {f"{chance.choice('abc')}/ü{chance.randrange(5)}": str(number)})

    async def check() -> None:
        checkout = await open_directory(folder, allow_dirty=True)
        whole = await WholeHistory.open(checkout, paths=("**",))
        starts = chance.sample(git(folder, "rev-list", "HEAD~1").split(), 6)
        await whole.read(starts)
        parts = whole.parts({part: (f"{part}/**",) for part in "abc"})
        for start in starts:
            inside = set(git(folder, "rev-list", start).split())
            assert [whole.holds(start, other) for other in starts] == [other in inside for other in starts]
            for part in "abc":
                part_alone = await open_directory(folder / part, allow_dirty=True)
                told = await (await History.open(part_alone)).since(start)
                by_paths = await (await History.open(checkout, paths=(f"{part}/**",))).since(start)
                assert await parts[part].since(start) == by_paths
                # Git leaves out a merge that differs only from its parent that is released already.
                merges = [commit for commit in by_paths.commits if commit.subject.startswith("Merge")]
                assert set(told.commits) <= set(by_paths.commits) <= {*told.commits, *merges}

    asyncio.run(check())

"""Globs match what their regular expression does, and no pattern takes for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.files.ignore import PatternList
from prefect_slipway.infra.domain.globs import ANY, NO_SLASH, Folders, Loop, One, Part, glob, literal
from prefect_slipway.infra.domain.patterns import matches

PARTS: list[Part] = [
    *literal("a/"),
    One(NO_SLASH),
    One("[^b]"),
    *(kind(expression) for kind in (Loop, Folders) for expression in (NO_SLASH, ANY, ".")),
]


def expression(parts: list[Part]) -> str:
    """The regular expression that a glob stands for."""
    written = {One: "{}", Loop: "{}*", Folders: "(?:{}*/)?"}
    return "".join(written[type(part)].format(part.expression) for part in parts)


@given(st.lists(st.sampled_from(PARTS), max_size=6), st.text("ab/\n", max_size=7), st.integers(0, 2))
def test_a_long_path_matches_as_a_short_one(parts: list[Part], path: str, more: int) -> None:
    """A prefix makes the path so long that the automaton looks at it; both are that much longer."""
    prefix = "a" * (400 * more)
    longer = [*literal(prefix), *parts]
    assert glob(longer)(prefix + path) is (re.fullmatch(expression(parts), path) is not None)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 100 + "b", "a" * 250),
        ("**/a/" * 100 + "b", "a/" * 1000 + "a"),
        ("**a" * 50 + "b", "a/" * 1000),
        ("**/*" * 50 + "b", "a/" * 1000),
    ],
)
def test_what_backtracks_takes_no_time(pattern: str, path: str) -> None:
    """In .dockerignore, in COPY's sources, and where a release file names paths."""
    assert not PatternList([pattern]).picks(path)
    assert PatternList([pattern]).picks(path[:-1] + "b" if not path.endswith("/") else path + "ab")
    assert not matches([pattern], path)

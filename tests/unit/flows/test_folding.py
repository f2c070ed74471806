"""Facts on a narrow terminal: below themselves, between words, and commands whole."""

from __future__ import annotations

import pytest

from prefect_slipway.flows.cli.folding import folded

WIDTH = 40


@pytest.mark.parametrize(
    "line, shown",
    [
        pytest.param(
            "  why   the first release begins with this version",
            ["  why   the first release begins with", "        this version"],
            id="fact",
        ),
        pytest.param(
            "FIX   registry  docker-registry is not installed here",
            ["FIX   registry  docker-registry is not", "                installed here"],
            id="finding",
        ),
        pytest.param(
            "                -> apt-get install docker-registry",
            ["                -> apt-get install", "                   docker-registry"],
            id="fix",
        ),
        pytest.param(
            "    - push registry.example/app:1.0.0 after all gates",
            ["    - push registry.example/app:1.0.0", "      after all gates"],
            id="effect",
        ),
    ],
)
def test_lines(line: str, shown: list[str]) -> None:
    assert folded(line, WIDTH).splitlines() == shown


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("short  enough", id="fits"),
        pytest.param(f"  digest  sha256:{'a' * 64}", id="a word is never broken"),
        pytest.param("    docker pull registry.example/team/app:1.0.0", id="command"),
        pytest.param("  a very long label of a fact here  and its value", id="no room for a value"),
    ],
)
def test_lines_that_stay(line: str) -> None:
    assert folded(line, WIDTH) == line


def test_nothing_is_lost() -> None:
    text = "app 1.0.0\n\n  why  " + "word " * 30 + "end\n  WARN: " + "more " * 20 + "end"
    assert folded(text, WIDTH).split() == text.split()
    assert max(map(len, folded(text, WIDTH).splitlines())) <= WIDTH

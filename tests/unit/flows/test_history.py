"""The history's rows: what is kept of several tables that were written at the same moment."""

import json
from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import Artifact

from prefect_slipway.flows.cli.history import as_text
from prefect_slipway.flows.reporting.history import MOST_ROWS, PastRelease, merged
from prefect_slipway.flows.reporting.kept_rows import kept_rows

ROW = PastRelease(
    version="1.0.0", when="2026-01-02T03:04:05Z", seconds=12.34, steps=4, cached=3, trigger="schedule nightly",
    revision="a" * 40, digest="sha256:" + "1" * 64, run="http://ui/run",
)  # fmt: skip


def _rows(numbers: list[int]) -> list[PastRelease]:
    return [replace(ROW, version=f"1.{n}.0", when=f"2026-01-01T00:00:{n:02}Z") for n in numbers]


@given(st.lists(st.lists(st.integers(0, 59)), max_size=4))
def test_no_row_of_any_table_is_lost_and_none_is_there_twice(tables: list[list[int]]) -> None:
    """Whatever the tables share, and in whatever order they are taken: newest first."""
    table = merged(*map(_rows, tables))
    assert [row.version for row in table] == [f"1.{n}.0" for n in sorted({n for t in tables for n in t}, reverse=True)]
    assert table == merged(table, *map(_rows, reversed(tables)))


def test_a_release_that_is_finished_again_stays_what_it_was() -> None:
    """The first row of a version and digest stays; the same version with another digest is another release."""
    again = replace(ROW, when="2026-02-01T00:00:00Z", trigger="command line", steps=0, cached=0)
    assert merged([again], [ROW]) == merged([ROW], [again]) == [ROW]
    other = replace(again, digest="sha256:" + "2" * 64)
    assert merged([ROW], [other]) == [other, ROW]


def test_the_table_does_not_grow_without_bound() -> None:
    """The oldest rows go."""
    rows = [replace(ROW, version=f"0.{n}.0", when=f"2026-01-01T{n:06}Z") for n in range(MOST_ROWS + 5)]
    assert [row.version for row in merged(rows)][-1] == "0.5.0"


def test_a_row_is_what_was_written() -> None:
    """A table artifact's row holds plain values, and is read back the same; a table that others wrote has no rows."""
    table = [asdict(ROW), asdict(ROW) | {"when": "yesterday"}, asdict(ROW) | {"steps": "3"}, {"model": "x"}, 5]
    assert kept_rows(PastRelease, Artifact(data=json.dumps(table))) == [ROW]
    for other in ("no JSON", "[" * 100_000, "5", None):
        assert kept_rows(PastRelease, Artifact(data=other)) == []
    assert kept_rows(PastRelease, None) == []


def test_the_text_has_a_line_a_release() -> None:
    """Version, when, how long, cached share, trigger and digest, aligned below their names."""
    head, first, second = as_text([ROW, replace(ROW, version="1.0.0-rc.1", steps=0)]).splitlines()
    assert first.split("  ")[0].strip() == "1.0.0"
    for part in ("12.3 s", "75 %", "schedule nightly", ROW.digest):
        assert part in first
    assert head.index("DIGEST") == first.index("sha256:") == second.index("sha256:")
    assert " - " in second

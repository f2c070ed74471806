"""Values of options, read as docker's tools read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import (
    FALSE,
    TRUE,
    attributes,
    boolean,
    byte_count,
    csv_fields,
    csv_line,
    parse_bool,
)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"', ['a"b']),
        ("a,", ["a", ""]),
        (" a , b ", [" a ", " b "]),
        ("a\r\n", ["a"]),
        ('"x\ny",z', ["x\ny", "z"]),
    ],
)
def test_a_line_of_csv(text: str, fields: list[str]) -> None:
    """Commas divide; quotes hold together what has commas or quotes in it."""
    assert csv_fields("--o", text) == fields


@pytest.mark.parametrize("text", ["", "\n", 'a"b', '"a"b', '"a', 'a,"', '"a""'])
def test_a_line_that_is_none(text: str) -> None:
    """A stray quote, and nothing at all, are refused without the text being shown."""
    with pytest.raises(InvalidOption, match=r"^--o (?:has a misplaced quote|is empty)"):
        csv_fields("--o", text)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n")), min_size=1).filter(lambda fields: fields != [""]))
def test_what_is_written_is_read(fields: list[str]) -> None:
    """Whatever the fields hold."""
    assert csv_fields("--o", csv_line(fields)) == fields


def test_attributes() -> None:
    """Keys in whatever case; the last of two counts; a value may hold an equals sign."""
    assert attributes("--o", "TYPE=a, Dest =b=c,type=d") == {"type": "d", "dest": "b=c"}
    with pytest.raises(InvalidOption, match="--o: 'key' has no value"):
        attributes("--o", "type=a,key")


def test_truth_values() -> None:
    """Those of Go's ParseBool and no others."""
    assert all(parse_bool(word) is True for word in TRUE)
    assert all(parse_bool(word) is False for word in FALSE)
    for word in ("", "yes", "on", "tRUE", "2"):
        assert parse_bool(word) is None
        with pytest.raises(InvalidOption, match="neither true nor false"):
            boolean("push", word)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("1.5g", 1_610_612_736),
        ("64m", 64 << 20),
        ("64MiB", 64 << 20),
        ("64 mb", 64 << 20),
        ("2T", 2 << 40),
        (".5k", 512),
        ("1e3", 1000),
        ("3b", 3),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Fractions, units in powers of 1024, with a blank before them."""
    assert byte_count("--s", text) == size


@pytest.mark.parametrize("text", ["", "m", "much", "-1", "1kk", "1ib", "1 k b", "1e400", "9" * 5000, "0x1p4", "inf"])
def test_no_sizes(text: str) -> None:
    """Neither negative nor endless ones, nor other units."""
    with pytest.raises(InvalidOption, match="is not a size"):
        byte_count("--s", text)

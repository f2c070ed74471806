"""What strangers write is read in linear time and little memory: with a quadratic step, none of these ends in the time
that a test has."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.notes.changelog import with_notes
from prefect_slipway.flows.request.release_file import ReleaseFile
from prefect_slipway.infra.domain.dockerfile import base_images
from prefect_slipway.infra.domain.errors import DockerfileInvalid, InvalidOption, ReleaseFileInvalid, SlipwayError
from prefect_slipway.infra.domain.options import byte_count
from prefect_slipway.infra.domain.release_commit import with_version, without_trailer
from prefect_slipway.infra.domain.urls import LEAK, holds_secret, without_secrets
from prefect_slipway.infra.registry.auth import parse_challenges
from prefect_slipway.infra.source.submodules import empty_submodules

MANY = 300_000
PIECES = [
    "://",
    "ssh://",
    "h",
    "a",
    ":",
    "8080",
    "@",
    "sha256:" + "0" * 64,
    "/",
    "?",
    "#",
    "&",
    "token=",
    "key=",
    "=",
    "x",
    " ",
    "\n",
]


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (base_images, "FROM a\nRUN " + "--mount=" * MANY + " x\n"),
        (base_images, "FROM a\nRUN " + "--mount=a, " * MANY + " x\n"),
        (base_images, "FROM " + "${a-" * (MANY // 100) + "\n"),
        (lambda text: ReleaseFile.read(text, "slipway.toml"), 'target = """\n' + " " * MANY + '\n"""\n'),
        (lambda text: ReleaseFile.read(text, "slipway.toml"), 'target = """\n[' + " " * MANY + '\n"""\n'),
        (lambda text: with_notes(text, "1.2.0", "2026-11-27", ""), "## a" + " " * MANY + "x"),
        (lambda text: with_notes(text, "1.2.0", "2026-11-27", ""), "## " + "1" * MANY),
        (lambda text: with_notes(text, "1.2.0", "2026-11-27", ""), "# 1.1.1" + "-" * MANY),
        (lambda text: with_notes(text, "1.2.0", "2026-11-27", ""), "# 1.1.1(" + ")" * MANY),
        (lambda text: parse_challenges([text]), "a" * MANY),
        (lambda text: parse_challenges([text]), "Bearer " + "a-" * MANY),
        (lambda text: with_version(text, "1.2.0", "file"), "1." * MANY + "# slipway-version"),
        (lambda text: with_version(text, "1.2.0", "file"), "1.1.1 slipway-version " * (MANY // 10)),
        (lambda text: with_version(text, "1.2.0", "file"), "1" * MANY + "# slipway-version"),
        (lambda text: with_version(text, "1.2.0", "file"), "{" + '\\"' * MANY + '\n"version": "1.1.0"'),
        (lambda text: with_version(text, "1.2.0", "file"), "[" * MANY + "\nversion: 1.1.0\n" * MANY),
        (lambda text: with_version(text, "1.2.0", "file"), "[ " * MANY + "\nversion: 1.1.0" + "-" * MANY),
        (holds_secret, "://" * (MANY // 10)),
        (holds_secret, "://a?" * (MANY // 30)),
        (without_trailer, "a" + "\n" * MANY + "b"),
        (without_secrets, "a" * MANY),
        (without_secrets, "https:/" * MANY),
        (lambda text: byte_count("shm-size", text), "1" * MANY + "x"),
    ],
)
def test_long_texts(read: Callable[[str], object], text: str) -> None:
    """Each is read or refused."""
    with suppress(SlipwayError):
        read(text)


@pytest.mark.parametrize(
    "text", ["\n" * MANY, "path = a" + " " * MANY + "x", " " * MANY, "path" + " " * MANY + "\n", "path=\0"]
)
def test_a_long_gitmodules(tmp_path: Path, text: str) -> None:
    (tmp_path / ".gitmodules").write_text(text)
    assert empty_submodules(tmp_path, tmp_path) == ()


def test_arguments_that_grow_fill_no_memory() -> None:
    """Forty ARGs, each of which is twice the one before."""
    arguments = "".join(f"ARG B{number + 1}=$B{number}$B{number}\n" for number in range(40))
    with pytest.raises(DockerfileInvalid, match="an ARG has more than"):
        base_images(f"ARG B0=aaaaaaaaaa\n{arguments}FROM scratch\n")


def test_one_long_argument_fills_no_memory() -> None:
    """Which many others repeat."""
    repeated = "".join(f"ARG C{number}=$B\n" for number in range(2_000))
    with pytest.raises(DockerfileInvalid, match="ARGs give more than"):
        base_images(f"ARG B={'a' * 16_000}\n{repeated}FROM scratch\n")


def test_what_was_read_before_still_is() -> None:
    """Where the patterns were made linear: quotes, tabs, long defaults, zeros before a stage's number."""
    mounts = "FROM a\nRUN --mount=\"from=b,target=/b\" --mount=type=bind,'from=c' x\n"
    assert {base.name for base in base_images(mounts)} == {"a", "b", "c"}
    assert base_images(f"ARG A=1\nFROM ${{A:+{'a' * 5000}}}\n")[0].name == "a" * 5000
    assert [base.name for base in base_images("FROM a\nFROM b\nCOPY --from=000000000000 / /\n")] == ["b", "a"]
    with pytest.raises(ReleaseFileInvalid, match="line 2"):
        ReleaseFile.read("\n\tnonsense\t= 1\n", "slipway.toml")


def test_many_stages_fill_no_stack() -> None:
    """Stages upon stages, and stages that copy from each other."""
    upon = "".join(f"FROM s{number} AS s{number + 1}\n" for number in range(20_000))
    assert [base.name for base in base_images(f"FROM a AS s0\n{upon}")] == ["a"]
    copying = "".join(f"FROM b AS s{number + 1}\nCOPY --from=s{number} / /\n" for number in range(20_000))
    assert [(base.name, base.runtime) for base in base_images(f"FROM a AS s0\n{copying}")] == [
        ("b", True),
        ("a", False),
    ]


def test_a_size_may_have_a_point() -> None:
    """As before the pattern was made linear."""
    assert [byte_count("x", text) for text in ("1.5k", "1.k", ".5k", "+2", "1e3")] == [1536, 1024, 512, 2, 1000]
    with pytest.raises(InvalidOption):
        byte_count("x", ".")


@given(st.text("sShH:/@?#&=k1. \n", max_size=24) | st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_secrets_in_urls_are_found_as_by_the_pattern(text: str) -> None:
    """The pattern that forms have, and what is looked for in linear time."""
    assert holds_secret(text) is (re.search(LEAK, text) is not None)

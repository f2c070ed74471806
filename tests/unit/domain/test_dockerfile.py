"""Which images a Dockerfile builds on."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.dockerfile import BaseImage, base_images
from prefect_slipway.infra.domain.errors import DockerfileInvalid


def bases(text: str, **options: object) -> dict[str, bool]:
    return {base.name: base.runtime for base in base_images(text, **options)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM alpine:3.20\n", {"alpine:3.20": True}),
        ("from alpine AS x\n", {"alpine": True}),
        ("FROM --platform=$BUILDPLATFORM golang AS build\nFROM scratch\nCOPY --from=build /a /a\n", {"golang": False}),
        ("FROM a AS one\nFROM one AS two\nFROM two\n", {"a": True}),
        ("FROM a\nFROM b\nCOPY --from=0 /x /x\n", {"b": True, "a": False}),
        ("FROM a AS unused\nFROM b\n", {"b": True}),
        ("FROM b\nCOPY --link --from=nginx:1 /x /x\n", {"b": True, "nginx:1": False}),
        ("FROM b\nRUN --mount=type=bind,from=tools:2,target=/t true --mount=from=no\n", {"b": True, "tools:2": False}),
        ("FROM a AS A\nFROM a\n", {"a": True}),
        ("FROM a AS x\nFROM x\nCOPY --from=x /a /b\n", {"a": True}),
        ("FROM scratch\n", {}),
        ("# FROM x\nFROM \\\n  # a comment\n\n  a\n", {"a": True}),
        ("# escape=`\nFROM `\n a\n", {"a": True}),
        ("# syntax=docker/dockerfile:1\n# escape=`\nFROM `\n a\n", {"a": True}),
        ("# hello\n# escape=`\nFROM a\\\n\n", {"a": True}),
        (
            "FROM a\nRUN <<EOF\nFROM no\nEOF\nCOPY <<-'E1' <<\"E2\" /x/\nFROM no\n\tE1\nFROM no\nE2\nFROM b\n",
            {"b": True},
        ),
        ("FROM a\nRUN echo \\\nFROM no\n", {"a": True}),
        ("FROM al\\\npine\n", {"alpine": True}),
        ("FROM\ta\n", {"a": True}),
        ("FROM registry:5000/a@sha256:" + "0" * 64, {"registry:5000/a@sha256:" + "0" * 64: True}),
        ("FROM b\nCOPY --from=$X /x /x\n", {"b": True}),
        ("\ufeffFROM a", {"a": True}),
    ],
)
def test_bases(text: str, expected: dict[str, bool]) -> None:
    """Images of all stages that the last one needs; true where what is built begins with their layers."""
    assert bases(text) == expected


def test_the_targets_bases_alone() -> None:
    """Other stages are not built."""
    text = "FROM a AS one\nFROM b AS two\nFROM one\n"
    assert bases(text, target="two") == {"b": True}
    assert bases(text, target="TWO") == {"b": True}
    assert bases(text, target="0") == {"a": True}
    with pytest.raises(DockerfileInvalid, match="no stage 'three'"):
        bases(text, target="three")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("$NAME", "alpine"),
        ("${NAME}:${TAG}", "alpine:3"),
        ("a:${NONE:-1}", "a:1"),
        ("a:${EMPTY:-1}", "a:1"),
        ("a${EMPTY-1}", "a"),
        ("a${TAG:+-x}", "a-x"),
        ("a${NONE:+-x}", "a"),
        ("a:${NONE:-$TAG}", "a:3"),
        ("a$UNKNOWN", "a"),
        (r"a\$TAG", "a$TAG"),
        ("$BOTH", "alpine:3"),
        ('"$NAME"', "alpine"),
    ],
)
def test_args_are_filled_in(image: str, expected: str) -> None:
    """Those before the first FROM, with their defaults, as the reference says."""
    text = f'ARG NAME=alpine TAG="3"\nARG EMPTY=\nARG BOTH=$NAME:$TAG\nARG NONE\nFROM {image}\nARG NAME=other\n'
    assert list(bases(text)) == [expected]


def test_build_args_go_first() -> None:
    """Where the Dockerfile declares them before FROM."""
    assert bases("ARG T=1\nFROM a:$T\n", build_args={"T": "2"}) == {"a:2": True}
    assert bases("FROM a:${T:-1}\n", build_args={"T": "2"}) == {"a:1": True}


@pytest.mark.parametrize("text", ["", "RUN x", "FROM", "ARG A\nFROM $A\n", "ARG B=1\n"])
def test_what_is_no_dockerfile(text: str) -> None:
    """It is named."""
    with pytest.raises(DockerfileInvalid):
        bases(text)


@given(text=st.text(alphabet="FROM COPY--from=ab$\\{}<\n#AS:", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else happens."""
    with contextlib.suppress(DockerfileInvalid):
        assert all(isinstance(base, BaseImage) for base in base_images(text))

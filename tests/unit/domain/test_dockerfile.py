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
        # What begins no here-document.
        ("FROM a\nRUN echo $((1<<N))\nFROM b\n", {"b": True}),
        ('FROM a\nRUN read x <<< "foo"\nFROM b\n', {"b": True}),
        ('FROM a\nRUN echo "<<EOF"\nFROM b\n', {"b": True}),
        ('FROM a\nRUN ["sh", "-c", "cat <<EOF"]\nFROM b\n', {"b": True}),
        ("FROM a\nRUN cat <<- EOF\nFROM b\n", {"b": True}),
        ("FROM a\nRUN a<<EOF\nFROM b\n", {"b": True}),
        # What does.
        ("FROM a\nRUN cat << EOF\nFROM no\nEOF\nFROM b\n", {"b": True}),
        ('FROM a\nRUN x 3<<EOF 4<<"E O"\nFROM no\nEOF\nFROM no\nE O\nFROM b\n', {"b": True}),
        ("FROM a\nONBUILD RUN <<EOF\nFROM no\nEOF\nFROM b\n", {"b": True}),
        ("FROM a\r\nRUN <<EOF\r\nFROM no\r\nEOF\r\nFROM b\r\n", {"b": True}),
        # What is not continued, and other signs between lines.
        ("FROM a\nWORKDIR C:\\\\\nFROM b\n", {"b": True}),
        ("FROM a\nRUN x\u2028FROM no\n", {"a": True}),
        ("# check=skip=a, b\n# escape=`\nFROM `\n a\n", {"a": True}),
        ("# other=1\n# escape=`\nFROM a\\\n\n", {"a": True}),
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
        ("${NONE:-${EMPTY:-$NAME}/x}:1", "alpine/x:1"),
        ("a:${LONG%%.*}", "a:1"),
        ("a:${LONG%.*}", "a:1.2"),
        ("a:${LONG#*.}", "a:2.3"),
        ("a:${LONG##*.}", "a:3"),
        ("a:${LONG/./-}", "a:1-2.3"),
        ("a:${LONG//./-}", "a:1-2-3"),
        ("a:${TAG:?needed}", "a:3"),
        ("a:${WORDS}", "a:x y"),
        ("a-${TARGETOS}-${TARGETARCH}${TARGETVARIANT}", "a-linux-armv7"),
    ],
)
def test_args_are_filled_in(image: str, expected: str) -> None:
    """Those before the first FROM, with their defaults, and the platform's, as the reference says."""
    text = 'ARG NAME=alpine TAG="3" WORDS="x y"\nARG LONG=1.2.3\nARG EMPTY=\n'
    text += f"ARG BOTH=$NAME:$TAG\nARG NONE\nFROM {image}\nARG NAME=other\n"
    assert list(bases(text, platforms=["linux/arm/v7"])) == [expected]


def test_build_args_go_first() -> None:
    """Where the Dockerfile declares them before FROM."""
    assert bases("ARG T=1\nFROM a:$T\n", build_args={"T": "2"}) == {"a:2": True}
    assert bases("FROM a:${T:-1}\n", build_args={"T": "2"}) == {"a:1": True}


def test_each_platform_has_its_bases() -> None:
    """A stage or an image may be chosen by it."""
    text = "FROM a AS for-amd64\nFROM b AS for-arm64\nFROM for-${TARGETARCH}\n"
    assert bases(text, platforms=["linux/amd64", "linux/arm64"]) == {"a": True, "b": True}
    assert bases(text, platforms=["linux/arm64"]) == {"b": True}
    assert bases("FROM x-$TARGETARCH\n", build_args={"TARGETARCH": "mine"}) == {"x-mine": True}
    assert bases("FROM $TARGETSTAGE\n", target=None) == {"default": True}


def test_contexts_stand_for_images_and_stages() -> None:
    """Of them only images are bases."""
    text = "FROM docker.io/library/base:latest AS x\nFROM x AS y\nCOPY --from=files /a /a\nCOPY --from=other /b /b\n"
    contexts = {"base": "docker-image://one:1", "files": "./folder", "other": "target:other"}
    assert bases(text, contexts=contexts) == {"one:1": True}
    assert bases(text, contexts={"x": "docker-image://two", "files": "a", "other": "b"}) == {"two": True}


@pytest.mark.parametrize(
    "text",
    [
        *("", "RUN x", "FROM", "ARG A\nFROM $A\n", "ARG B=1\n", "FROM ${A\n", "FROM ${A:?needed}\n"),
        *("FROM ${}\n", f"FROM {'${A:-' * 99}\n", f"ARG A={'a' * 999}\nFROM ${{A%b}}\n"),
    ],
)
def test_what_is_no_dockerfile(text: str) -> None:
    """It is named."""
    with pytest.raises(DockerfileInvalid):
        bases(text)


@given(text=st.text(alphabet="FROM COPY--from=ab$\\{}<\n#AS:", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else happens."""
    with contextlib.suppress(DockerfileInvalid):
        assert all(isinstance(base, BaseImage) for base in base_images(text))

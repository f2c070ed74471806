"""What a plan says of sources that its policy denies, before anything is built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefect_slipway.flows.bake.targets import Target, TargetSet
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.planning.denied import denied_sources
from prefect_slipway.infra.domain.source_policy import SourcePolicy

DENIED = "docker-image://docker.io/library/alpine:*"


def denied(folder: Path, *targets: Target, pattern: str = DENIED) -> list[str]:
    rule = {"action": "DENY", "selector": {"identifier": pattern}}
    policy = SourcePolicy.read("the policy", json.dumps({"rules": [rule]}))
    named = {target.name: target for target in targets}
    return denied_sources(policy, TargetSet(named, tuple(named)), Places.of(folder, None, ()))


@pytest.mark.parametrize(
    ("dockerfile", "found"),
    [
        ("FROM alpine", 1),
        ("FROM docker.io/library/alpine:3.20", 1),
        ("ARG BASE=alpine\nFROM $BASE", 1),
        ("FROM busybox", 0),
        ("FROM scratch", 0),
        ("FROM alpine AS base\nFROM base", 1),
        ("FROM $UNKNOWN", 0),
        ("NONSENSE", 0),
    ],
)
def test_a_base_image_is_found_in_the_dockerfile(dockerfile: str, found: int, tmp_path: Path) -> None:
    """In a file or inline, by the name that the daemon gives it; what cannot be told is left to the daemon."""
    (tmp_path / "Dockerfile").write_text(dockerfile)
    for target in (Target("default"), Target("default", dockerfile_inline=dockerfile, dockerfile="none")):
        said = denied(tmp_path, target)
        assert len(said) == found
        assert all(
            each.startswith("the source policy denies docker-image://docker.io/library/alpine:") for each in said
        )


def test_contexts_are_sources_and_replace_base_images(tmp_path: Path) -> None:
    """With several targets, each sentence says whose source it is."""
    (tmp_path / "Dockerfile").write_text("FROM alpine")
    one = Target("one", contexts={"extra": "docker-image://alpine:3.20"}, dockerfile_inline="FROM scratch")
    replaced = Target("two", contexts={"alpine": "docker-image://busybox"})
    based = Target("three", bases={"alpine": "one"})
    assert [each.partition(" (")[0] for each in denied(tmp_path, one, replaced, based)] == [
        "target one: the source policy denies docker-image://docker.io/library/alpine:3.20"
    ]
    remote = Target("default", context="https://git.example/app.git", dockerfile_inline="FROM scratch")
    assert len(denied(tmp_path, remote, pattern="https://git.example/*")) == 1
    assert denied(tmp_path, Target("default", dockerfile="missing")) == []

"""Which releases have a registry cache, and the tags of these."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prefect_slipway.flows.planning.build_cache import cache_of, cache_tag, plan_caches
from prefect_slipway.flows.planning.source import ONE, look_into
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.builder import RunBuilder
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.values.plan import PlannedCache
from prefect_slipway.infra.domain.reference import is_tag
from prefect_slipway.infra.domain.version import version_of_tag
from prefect_slipway.infra.source.checkout import Checkout

# What git allows a branch to be called, as far as it matters here, and bake a target.
branches = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200)
targets = st.text("abcXYZ019_-", max_size=80)


@given(branches, targets)
def test_each_is_a_tag_and_no_version(branch: str, target: str) -> None:
    """Whatever branch and target are called."""
    tag = cache_tag(target, branch)
    assert is_tag(tag) and tag.startswith("buildcache")
    assert version_of_tag(tag) is None


@given(branches, targets, branches, targets)
def test_no_branch_writes_anothers(branch: str, target: str, other: str, other_target: str) -> None:
    """Two tags are the same only if branch and target are."""
    assume((branch, target) != (other, other_target))
    assert cache_tag(target, branch) != cache_tag(other_target, other)


@given(branches, targets, st.lists(st.sampled_from(["linux/amd64", "linux/arm64", "linux/arm/v7"]), max_size=6))
def test_a_part_of_an_image_has_its_own(branch: str, target: str, platforms: list[str]) -> None:
    """A node that builds some of the platforms writes beside the others, and beside no branch."""
    tag = cache_tag(target, branch)
    place, _, part = cache_of(f"r.example/a:{tag}", platforms).rpartition(":")
    assert place == "r.example/a" and is_tag(part) and version_of_tag(part) is None
    assert (part == tag) == (not platforms) and part.startswith("buildcache_") == bool(platforms)


def test_a_name_that_looks_like_anothers_tag_is_not_kept() -> None:
    """Somebody who may create branches cannot choose one whose tag is another's."""
    tag = cache_tag("", "feature/x")
    assert tag.startswith("buildcache-feature-x-")
    assert cache_tag("", tag.removeprefix("buildcache-")) != tag
    assert cache_tag("a", "b") != cache_tag("a-b") != cache_tag("", "b")


def test_a_simple_name_is_kept() -> None:
    """People find their caches."""
    assert [cache_tag(), cache_tag("", "next"), cache_tag("base"), cache_tag("base", "next")] == [
        "buildcache",
        "buildcache-next",
        "buildcache.base",
        "buildcache.base.next",
    ]
    assert cache_of("r/a:buildcache-next", ["linux/arm64"]) == "r/a:buildcache_linux-arm64-next"


OWN = {"cache_to": ["type=registry,ref=r.example/own"]}
KUBERNETES = {"builder": {"address": "kubernetes"}}


@pytest.mark.parametrize(
    ("fields", "exported"),
    [
        ({}, None),
        (KUBERNETES, "r.example/app:buildcache"),
        ({"builder": {"address": "kubernetes", "options": {"lifetime": "shared"}}}, None),
        ({**KUBERNETES, "cache": {"mode": "off"}}, None),
        ({**KUBERNETES, "build": OWN}, None),
        ({"build": OWN, "cache": {"mode": "on"}}, "r.example/app:buildcache"),
        ({"cache": {"mode": "on", "repository": "r.example/caches"}}, "r.example/caches:buildcache"),
    ],
)
async def test_who_has_a_cache(tmp_path: Path, fields: dict[str, object], exported: str | None) -> None:
    """A release whose builder is made for it, unless its image has caches of its own; and whoever asks for one."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    request = ReleaseRequest.read({"image": "r.example/app", **fields})
    async with AsyncExitStack() as exits:
        run = OpenRun(request, tmp_path, None, None, exits, RunBuilder(request, None, exits, run="plan"))
        caches = await plan_caches(run, look_into(run, Checkout(tmp_path, "app", "tree:1")))
    assert caches == ({ONE: PlannedCache((exported,), exported)} if exported else {})

"""Which pushes a rule takes, and what its run gets."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.replay import Remembered
from prefect_slipway.flows.relay.rules import Rule
from prefect_slipway.infra.domain.patterns import matches

PUSH = Push("github", "d", "team/app", "refs/heads/main", "b" * 40, "a" * 40, paths=("src/x.py", "docs/y.md"))


def rule(**more: Any) -> Rule:
    return Rule.model_validate({"name": "r", "repository": "team/app", "deployment": "release/app", **more})


def takes(push: Push = PUSH, source: str = "github", **more: Any) -> bool:
    return rule(**more).misses(push, source) is None


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("main", "main", True),
        ("main", "Main", False),
        ("main", "main2", False),
        ("release/*", "release/1", True),
        ("release/*", "release/1/x", False),
        ("release/**", "release/1/x", True),
        ("**", "a/b/c", True),
        ("*", "a/b", False),
        ("**/*.md", "a.md", True),
        ("**/*.md", "a/b/c.md", True),
        ("docs/**/x", "docs/x", True),
        ("docs/**/x", "docs/a/b/x", True),
        ("v?", "v1", True),
        ("v?", "v/", False),
        ("a.b", "axb", False),
        ("a[1]", "a1", False),
        ("a[1]", "a[1]", True),
        ("****", "a/b", True),
        ("*", "a\nb", True),
    ],
)
def test_a_pattern(pattern: str, name: str, expected: bool) -> None:
    """Stars and question marks stop at a slash, two stars do not; all else is literal."""
    assert matches([pattern], name) is expected


def test_exclusions_win_wherever_they_stand() -> None:
    """One that is excluded is out; exclusions alone select the rest."""
    assert matches(["release/*", "!release/old"], "release/new")
    assert not matches(["!release/old", "release/*"], "release/old")
    assert matches(["!docs/**"], "src/x")
    assert not matches(["!docs/**"], "docs/x")


@given(pattern=st.text(alphabet="ab*?.", max_size=8), name=st.text(alphabet="ab.c", max_size=8))
def test_without_slashes_a_pattern_is_the_shells(pattern: str, name: str) -> None:
    """An independent matcher says the same."""
    assert matches([pattern], name) == fnmatch.fnmatchcase(name, pattern)


@given(name=st.lists(st.text(alphabet="ab", min_size=1, max_size=3), min_size=1, max_size=5).map("/".join))
def test_a_name_without_stars_matches_itself_alone(name: str) -> None:
    """And everything is below `**`."""
    assert matches([name], name)
    assert matches(["**"], name)
    assert not matches([name], name + "/x")
    assert matches(["*"], name) is ("/" not in name)


def test_branches() -> None:
    """A rule without branch and tag takes every branch and no tag."""
    tag = replace(PUSH, ref="refs/tags/nightly", paths=None)
    assert takes()
    assert not takes(tag)
    assert takes(branch="main")
    assert not takes(branch=["release/*"])
    assert takes(branch=["*", "!dev"])
    assert not takes(tag="*")
    assert takes(tag, tag="*")
    assert takes(tag, branch="main", tag="nightly")
    assert not takes(tag, branch="nightly")
    assert not takes(replace(PUSH, ref="refs/notes/x"))


def test_repositories_and_sources() -> None:
    """Globs as well; another source is another sender."""
    assert takes(repository="team/*")
    assert not takes(repository=["team/*", "!team/app"])
    assert takes(source="github", repository="**")
    assert not rule(source="gitlab").misses(PUSH, "gitlab")
    assert rule(source="gitlab").misses(PUSH, "github")


def test_paths() -> None:
    """One path that counts is enough; a forge that does not tell all of them may have changed it."""
    assert takes(path="src/**")
    assert not takes(path="lib/**")
    assert takes(path=["**", "!docs/**"])
    assert not takes(replace(PUSH, paths=("docs/y.md",)), path=["**", "!docs/**"])
    assert takes(replace(PUSH, paths=None), path="lib/**")


@pytest.mark.parametrize(
    ("ref", "expected"),
    [("refs/tags/v1.2.3", False), ("refs/tags/nightly", True), ("refs/slipway/v1.2.3", False), ("refs/heads/v1", True)],
)
def test_what_a_release_pushes_starts_none(ref: str, expected: bool) -> None:
    """Else each release would start the next."""
    assert takes(replace(PUSH, ref=ref), branch="**", tag="**") is expected


def test_version_tags_when_asked_for() -> None:
    """People who tag by hand say so; reservations stay out."""
    assert takes(replace(PUSH, ref="refs/tags/v1.2.3"), tag="v*", version_tags=True)
    assert not takes(replace(PUSH, ref="refs/slipway/v1.2.3"), tag="**", version_tags=True)


def test_a_commit_to_be_skipped_starts_nothing() -> None:
    """Whatever the branch."""
    assert not takes(replace(PUSH, skipped=True))


def test_a_deleted_ref_starts_nothing() -> None:
    """There is nothing to release."""
    assert not takes(replace(PUSH, commit=None))


def test_parameters_are_filled_in_as_text() -> None:
    """At any depth, in texts only, and what is put in is not looked at again."""
    evil = replace(PUSH, ref="refs/heads/{{commit}}", pusher="{{ commit }}", clone_url="https://x/y")
    filled = rule(
        parameters={"request": {"ref": "{{branch}}", "labels": {"by": "{{ pusher }} did {{ commit }}"}, "n": [1, True]}}
    ).parameters_for(evil)
    assert filled == {
        "request": {"ref": "{{commit}}", "labels": {"by": f"{{{{ commit }}}} did {'a' * 40}"}, "n": [1, True]}
    }


@given(value=st.text(max_size=30))
def test_a_value_goes_in_as_it_is(value: str) -> None:
    """Whatever is in it."""
    push = replace(PUSH, pusher=value)
    assert rule(parameters={"x": "<{{ pusher }}>"}).parameters_for(push) == {"x": f"<{value}>"}


def test_what_is_remembered_is_bounded() -> None:
    """In number, the oldest goes; in time, each has its own."""
    now = [0.0]
    done = Remembered(window_s=10, limit=3, clock=lambda: now[0])
    done.add("a")
    now[0] = 5
    done.add("b", "c")
    assert done.has_any("a")
    assert not done.has_any("x")
    now[0] = 10
    assert not done.has_any("a")
    assert done.has_any("x", "b")
    done.add("d", "e")
    assert len(done) == 3
    assert not done.has_any("b")
    now[0] = 100
    assert not done.has_any("c", "d", "e")
    assert len(done) == 0


@given(keys=st.lists(st.text(max_size=3), max_size=50))
def test_no_more_than_the_limit_is_remembered(keys: list[str]) -> None:
    """Whatever is added; the newest is always there."""
    done = Remembered(limit=5)
    for key in keys:
        done.add(key)
        assert done.has_any(key)
        assert len(done) <= 5

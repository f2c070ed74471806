"""Semantic versions: precedence as SemVer 2.0 wants it, the next version, and the tags that show versions."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidTag, InvalidVersion, VersionTaken
from prefect_slipway.infra.domain.reference import check_tag
from prefect_slipway.infra.domain.version import (
    FIRST_VERSION,
    Bump,
    Version,
    image_tag,
    latest,
    lines_left_out,
    moving_tags,
    next_version,
    parse_version,
    tags_that_stay,
    version_of_tag,
    versions_of_git_tags,
)

NUMBERS = st.integers(0, 30)
IDENTIFIERS = st.one_of(
    st.integers(0, 99).map(str), st.from_regex(r"[0-9]{0,2}[a-zA-Z-][0-9a-zA-Z-]{0,4}", fullmatch=True)
)
PRERELEASES = st.lists(IDENTIFIERS, min_size=1, max_size=3).map(".".join)
BUILDS = st.lists(st.from_regex(r"[0-9a-zA-Z-]{1,5}", fullmatch=True), min_size=1, max_size=3).map(".".join)
VERSIONS = st.builds(Version, NUMBERS, NUMBERS, NUMBERS, st.none() | PRERELEASES, st.none() | BUILDS)
STABLE = st.builds(Version, NUMBERS, NUMBERS, NUMBERS)
BUMPS = st.sampled_from([Bump.MAJOR, Bump.MINOR, Bump.PATCH, Bump.PRERELEASE])


def v(text: str) -> Version:
    return parse_version(text)


def vs(text: str) -> list[Version]:
    return [v(word) for word in text.split()]


# Reading ------------------------------------------------------------------------------------------------------


@given(VERSIONS)
def test_reading_gives_what_was_written(version: Version) -> None:
    """Every part comes back, build metadata included."""
    assert parse_version(str(version)).to_tuple() == version.to_tuple()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "01.2.3",
        "1.02.3",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "1.2.3+",
        "1.2.3+a_b",
        "1.2.3 ",
        " 1.2.3",
        "1.2.3\n",
        "-1.2.3",
        "1.2.x",
        "latest",
        "\u0661.2.3",
        "1.2.3-\u00e9",
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    """No leniency: a version with a typing error is not released under a guess."""
    with pytest.raises(InvalidVersion):
        parse_version(text)


@pytest.mark.parametrize("text", ["v1.2.3", "V1.2.3"])
def test_a_prefix_is_pointed_out(text: str) -> None:
    """The commonest mistake gets the mended version in its message."""
    with pytest.raises(InvalidVersion, match=r"without the prefix: 1\.2\.3"):
        parse_version(text)


@given(st.text(max_size=20))
def test_any_text_is_a_version_or_refused_by_name(text: str) -> None:
    """Reading raises nothing else, and what is read is written the same way."""
    with suppress(InvalidVersion):
        assert str(parse_version(text)) == text


def test_a_number_that_python_cannot_read_is_no_version() -> None:
    """4,300 digits and more: refused by name, and passed over as a tag; as many as a tag can have are read."""
    for text in (f"1.0.0-rc.{'9' * 4_300}", f"{'9' * 5_000}.0.0"):
        with pytest.raises(InvalidVersion):
            v(text)
        assert version_of_tag(text) is None
        assert versions_of_git_tags([f"v{text}", "v1.0.0"], "v") == {v("1.0.0"): "v1.0.0"}
    long = v(f"1.0.0-rc.{'9' * 200}")
    assert next_version([long], Bump.PRERELEASE) > long


# Precedence (SemVer 2.0, section 11) --------------------------------------------------------------------------


def test_the_specifications_own_order_holds() -> None:
    """The examples of section 11.2 to 11.4."""
    prereleases = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1"
    ordered = vs(f"{prereleases} 1.0.0 2.0.0 2.1.0 2.1.1")
    assert all(lower < higher for lower, higher in pairwise(ordered))
    assert len(set(ordered)) == len(ordered)


@given(VERSIONS, BUILDS)
def test_build_metadata_makes_no_other_version(version: Version, build: str) -> None:
    """Section 10: equal, and one key of a dictionary."""
    other = version.replace(build=build)
    assert other == version
    assert hash(other) == hash(version)
    assert not other < version
    assert not other > version


@given(VERSIONS, VERSIONS)
def test_precedence_is_a_total_order(one: Version, other: Version) -> None:
    """Of two versions exactly one of lower, equal, higher holds, both ways round."""
    assert [one < other, one == other, one > other].count(True) == 1
    assert (one < other) == (other > one)


@given(STABLE, PRERELEASES)
def test_a_prerelease_comes_before_its_version(version: Version, prerelease: str) -> None:
    """Section 9."""
    assert version.replace(prerelease=prerelease) < version


@given(st.lists(VERSIONS))
def test_latest_is_the_highest(versions: list[Version]) -> None:
    """Nothing is higher; without prereleases if wanted; None of none."""
    highest = latest(versions)
    assert (highest is None) == (not versions)
    assert all(version <= highest for version in versions if highest is not None)
    stable = latest(versions, stable_only=True)
    assert (stable is None) == all(version.prerelease for version in versions)
    assert stable is None or not stable.prerelease


# The next version ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("released", "bump", "expected"),
    [
        ("", Bump.MAJOR, "0.1.0"),
        ("", Bump.MINOR, "0.1.0"),
        ("", Bump.PATCH, "0.1.0"),
        ("", Bump.PRERELEASE, "0.1.0-rc.1"),
        ("0.1.0", Bump.MINOR, "0.2.0"),
        ("0.1.0", Bump.PATCH, "0.1.1"),
        ("0.1.0", Bump.MAJOR, "1.0.0"),
        ("1.2.3", Bump.MAJOR, "2.0.0"),
        ("1.2.3", Bump.MINOR, "1.3.0"),
        ("1.2.3", Bump.PATCH, "1.2.4"),
        ("1.2.3", Bump.PRERELEASE, "1.2.4-rc.1"),
        ("1.2.3+build.9", Bump.PATCH, "1.2.4"),
        ("1.2.3 0.9.0 1.10.0 1.9.0", Bump.MINOR, "1.11.0"),
        # A prerelease is finished by what it leads to, and does not move the others.
        ("1.2.3 1.3.0-rc.2", Bump.MINOR, "1.3.0"),
        ("1.2.3 1.3.0-rc.2", Bump.PATCH, "1.2.4"),
        ("1.2.3 1.3.0-rc.2", Bump.MAJOR, "2.0.0"),
        ("1.2.3 2.0.0-rc.1", Bump.MINOR, "1.3.0"),
        ("1.2.3 1.3.0-rc.2", Bump.PRERELEASE, "1.3.0-rc.3"),
        ("1.2.3 1.3.0-rc.9", Bump.PRERELEASE, "1.3.0-rc.10"),
        ("1.2.3 1.3.0-rc.2+b", Bump.PRERELEASE, "1.3.0-rc.3"),
        ("1.3.0 1.3.0-rc.2", Bump.PRERELEASE, "1.3.1-rc.1"),
        # Other series: up if they sort lower, else the next patch begins one.
        ("1.2.3 1.3.0-alpha.2", Bump.PRERELEASE, "1.3.0-rc.1"),
        ("1.2.3 1.3.0-zeta.3", Bump.PRERELEASE, "1.3.1-rc.1"),
        ("1.2.3 1.3.0-rc", Bump.PRERELEASE, "1.3.0-rc.1"),
        ("1.2.3 1.3.0-rc.4.hotfix", Bump.PRERELEASE, "1.3.0-rc.5"),
        ("1.2.3 1.3.0-rc.x", Bump.PRERELEASE, "1.3.1-rc.1"),
        # Nothing but prereleases so far.
        ("0.1.0-rc.1", Bump.MINOR, "0.1.0"),
        ("0.1.0-rc.1", Bump.PATCH, "0.1.0"),
        ("0.1.0-rc.1", Bump.MAJOR, "1.0.0"),
        ("1.0.0-rc.1", Bump.MINOR, "1.0.0"),
        ("1.0.0-rc.1", Bump.MAJOR, "1.0.0"),
        ("0.1.1-rc.1", Bump.MINOR, "0.2.0"),
        ("0.1.0-rc.1", Bump.PRERELEASE, "0.1.0-rc.2"),
    ],
)
def test_the_next_version(released: str, bump: Bump, expected: str) -> None:
    """The rules of next_version, by example."""
    assert str(next_version(vs(released), bump)) == expected


def test_a_series_may_have_any_legal_name() -> None:
    """Dots in the name belong to it; what SemVer forbids is refused."""
    assert (
        str(next_version(vs("1.0.0 1.1.0-beta.linux.2"), Bump.PRERELEASE, token="beta.linux")) == "1.1.0-beta.linux.3"
    )
    for token in ("", "r_c", "rc..x", "01", "r c", "é"):
        with pytest.raises(InvalidVersion):
            next_version(vs("1.0.0"), Bump.PRERELEASE, token=token)


@given(st.lists(VERSIONS), BUMPS)
def test_the_next_version_is_new_and_higher(versions: list[Version], bump: Bump) -> None:
    """Higher than every stable version; a prerelease higher than everything; never one that exists; no metadata."""
    following = next_version(versions, bump)
    assert following not in versions
    assert following.build is None
    assert all(following > version for version in versions if not version.prerelease)
    assert bool(following.prerelease) == (bump is Bump.PRERELEASE)
    if bump is Bump.PRERELEASE:
        assert all(following > version for version in versions)
    if not versions:
        assert following.finalize_version() == FIRST_VERSION


@given(st.lists(VERSIONS, unique=True), BUMPS, st.randoms())
def test_the_order_of_versions_does_not_matter(versions: list[Version], bump: Bump, random: object) -> None:
    """The same versions in any order lead to the same next one."""
    expected = next_version(versions, bump)
    shuffled = list(versions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert next_version(shuffled, bump) == expected


@given(st.lists(VERSIONS), st.lists(BUMPS, min_size=2, max_size=8))
def test_releases_never_repeat(versions: list[Version], bumps: list[Bump]) -> None:
    """Releasing again and again gives different versions."""
    taken = list(versions)
    for bump in bumps:
        following = next_version(taken, bump)
        assert following not in taken
        taken.append(following)


@pytest.mark.parametrize(
    ("line", "bump", "expected"),
    [
        ("1.2.3", Bump.MAJOR, "2.0.0-rc.1"),
        ("1.2.3", Bump.MINOR, "1.3.0-rc.1"),
        ("1.2.3", Bump.PATCH, "1.2.4-rc.1"),
        ("", Bump.MINOR, "0.1.0-rc.1"),
        ("1.2.3 1.3.0-rc.1", Bump.MINOR, "1.3.0-rc.2"),
        ("1.2.3 1.2.4-rc.1", Bump.MINOR, "1.3.0-rc.1"),
        # What the line has begun is not gone back from.
        ("1.2.3 2.0.0-rc.1", Bump.MINOR, "2.0.0-rc.2"),
        ("1.2.3 1.3.0-zeta.1", Bump.MINOR, "1.3.1-rc.1"),
        ("0.1.0-rc.1", Bump.MAJOR, "1.0.0-rc.1"),
    ],
)
def test_each_bump_can_be_a_prerelease(line: str, bump: Bump, expected: str) -> None:
    """Of the version that it leads to."""
    assert str(next_version(vs(line), bump, prerelease=True)) == expected


@pytest.mark.parametrize(
    ("line", "elsewhere", "bump", "expected"),
    [
        # What is released elsewhere is no base ...
        ("1.0.0", "2.0.0", Bump.PATCH, "1.0.1"),
        ("1.0.0", "2.0.0", Bump.MINOR, "1.1.0"),
        ("1.0.0", "2.0.0-rc.1", Bump.MAJOR, "2.0.0"),
        ("1.0.0", "2.0.0 1.1.0-rc.1", Bump.MINOR, "1.1.0"),
        ("", "1.0.0", Bump.MINOR, "0.1.0"),
        # ... and is not taken twice: the next free one of the line.
        ("1.0.0", "1.0.1", Bump.PATCH, "1.0.2"),
        ("1.0.0", "1.0.1 1.0.2 2.0.0", Bump.PATCH, "1.0.3"),
        ("1.0.0", "1.0.1", Bump.PRERELEASE, "1.0.2-rc.1"),
        ("1.0.0", "1.0.1-rc.1 1.0.1-rc.7", Bump.PRERELEASE, "1.0.1-rc.8"),
        ("1.0.0 1.0.1-rc.1", "1.0.1-rc.2", Bump.PRERELEASE, "1.0.1-rc.3"),
    ],
)
def test_the_next_version_of_a_line(line: str, elsewhere: str, bump: Bump, expected: str) -> None:
    """It counts what is in the history of what is released."""
    assert str(next_version(vs(line), bump, elsewhere=vs(elsewhere))) == expected


@pytest.mark.parametrize(
    ("line", "elsewhere", "bump", "prerelease", "named"),
    [
        ("1.0.0", "1.1.0", Bump.MINOR, False, "1.1.0"),
        ("1.0.0", "1.1.4 1.1.5", Bump.MINOR, False, "1.1.4"),
        ("1.0.0", "2.0.0", Bump.MAJOR, False, "2.0.0"),
        ("1.0.0", "2.3.0", Bump.MAJOR, False, "2.3.0"),
        ("", "0.1.0", Bump.MINOR, False, "0.1.0"),
        ("1.0.0", "1.1.0", Bump.MINOR, True, "1.1.0"),
    ],
)
def test_another_lines_versions_are_not_run_into(
    line: str, elsewhere: str, bump: Bump, prerelease: bool, named: str
) -> None:
    """1.2.0 would be taken for something that has all of 1.1.0: refused, with the version that stands in the way."""
    with pytest.raises(VersionTaken, match=f"but {re.escape(named)} was released") as caught:
        next_version(vs(line), bump, prerelease=prerelease, elsewhere=vs(elsewhere))
    assert "--version" in str(caught.value)


def test_what_is_only_reserved_is_passed_over() -> None:
    """Releases at one moment get different versions, whatever the bump."""
    for bump, expected in ((Bump.PATCH, "1.0.2"), (Bump.MINOR, "1.2.0"), (Bump.MAJOR, "3.0.0")):
        taken = vs("1.0.0 1.0.1 1.1.0 2.0.0")
        assert str(next_version(vs("1.0.0"), bump, taken=taken)) == expected
    assert str(next_version(vs("1.0.0"), Bump.PRERELEASE, taken=vs("1.0.1-rc.1"))) == "1.0.1-rc.2"


@given(st.lists(VERSIONS), st.lists(VERSIONS), st.lists(VERSIONS), BUMPS, st.booleans())
def test_whatever_is_released_elsewhere_the_next_version_is_new(
    line: list[Version], elsewhere: list[Version], taken: list[Version], bump: Bump, prerelease: bool
) -> None:
    """New, above its line's stable versions, and of no minor version that was begun elsewhere; or refused by name."""
    try:
        following = next_version(line, bump, prerelease=prerelease, elsewhere=elsewhere, taken=taken)
    except VersionTaken:
        assert any(not version.prerelease for version in elsewhere)
        return
    assert following not in {*line, *elsewhere, *taken}
    base = latest(line, stable_only=True)
    assert base is None or following > base
    begun = {(version.major, version.minor) for version in elsewhere if not version.prerelease}
    if base is None or (base.major, base.minor) != (following.major, following.minor):
        assert (following.major, following.minor) not in begun


def test_auto_is_for_the_caller_to_decide() -> None:
    """The commits are not known here."""
    with pytest.raises(ValueError, match="auto"):
        next_version(vs("1.0.0"), Bump.AUTO)


# Tags ---------------------------------------------------------------------------------------------------------


@given(VERSIONS)
def test_an_image_tag_is_legal_and_shows_its_version(version: Version) -> None:
    """Build metadata comes back as well."""
    tag = image_tag(version)
    assert check_tag(tag) == tag
    shown = version_of_tag(tag)
    assert shown is not None
    assert shown.to_tuple() == version.to_tuple()


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,20}", fullmatch=True))
def test_a_tag_that_shows_a_version_is_that_versions_tag(tag: str) -> None:
    """No two tags show the same version text."""
    version = version_of_tag(tag)
    assert version is None or image_tag(version) == tag


@pytest.mark.parametrize("tag", ["latest", "1", "1.2", "v1.2.3", "1.2.3_", "1.2.3_a_b", "1.2.3+a", "buildcache", ""])
def test_other_tags_show_no_version(tag: str) -> None:
    """Moving tags, prefixes and the like are passed over."""
    assert version_of_tag(tag) is None


def test_a_version_too_long_for_a_tag_is_refused() -> None:
    """128 characters are the most a tag can have."""
    assert len(image_tag(v(f"1.0.0-{'a' * 122}"))) == 128
    with pytest.raises(InvalidTag):
        image_tag(v(f"1.0.0-{'a' * 123}"))


def test_git_tags_are_read_by_their_prefix() -> None:
    """Only the prefix's own: `app/v` is not `v`, and the empty prefix has no `v` in it."""
    names = ["v1.0.0", "v1.1.0-rc.1", "app/v2.0.0", "3.0.0", "v4", "v5.0.0\n", "nightly", "vv6.0.0"]
    assert versions_of_git_tags(names, "v") == {v("1.0.0"): "v1.0.0", v("1.1.0-rc.1"): "v1.1.0-rc.1"}
    assert versions_of_git_tags(names, "app/v") == {v("2.0.0"): "app/v2.0.0"}
    assert versions_of_git_tags(names, "") == {v("3.0.0"): "3.0.0"}


@given(st.permutations(["v1.0.0", "v1.0.0+a", "v1.0.0+b", "v0.9.0"]))
def test_tags_of_one_version_are_one_entry(names: list[str]) -> None:
    """Tags that differ in metadata alone are one version, whose text and tag belong together, in any order."""
    found = versions_of_git_tags(names, "v")
    assert {str(version): name for version, name in found.items()} == {"1.0.0": "v1.0.0", "0.9.0": "v0.9.0"}


@pytest.mark.parametrize(
    ("version", "released", "expected"),
    [
        ("1.2.3", "", ["1", "1.2", "latest"]),
        ("1.2.3", "1.2.2 1.1.0", ["1", "1.2", "latest"]),
        ("1.2.3", "1.2.4", []),
        ("1.2.3", "1.3.0", ["1.2"]),
        ("1.2.3", "2.0.0", ["1", "1.2"]),
        ("1.2.3", "2.0.0 1.3.0", ["1.2"]),
        ("1.2.3", "2.0.0-rc.1 1.2.4-rc.1", ["1", "1.2", "latest"]),
        ("1.2.3+b", "1.2.3+a", ["1", "1.2", "latest"]),
        ("1.2.3-rc.1", "", []),
        ("0.3.0", "0.2.0", ["0.3", "latest"]),
        ("0.2.1", "0.3.0", ["0.2"]),
    ],
)
def test_moving_tags(version: str, released: str, expected: list[str]) -> None:
    """`1`, `1.2`, `latest`: never back, never to a prerelease, and no `0`."""
    assert moving_tags(v(version), vs(released)) == expected


@pytest.mark.parametrize(
    ("version", "base", "elsewhere", "expected"),
    [
        # Named on 1.x although 2.0.0 is on main: its tags are not this one's to take.
        ("2.0.1", "1.0.0", "2.0.0", ["2", "2.0", "latest"]),
        ("1.2.0", "1.0.0", "1.1.0", ["1", "latest"]),
        ("3.0.0", "1.0.0", "2.0.0", ["latest"]),
        ("1.0.1", "", "0.9.0", ["latest"]),
        # Higher ones hold theirs by themselves, prereleases hold none.
        ("1.0.1", "1.0.0", "2.0.0 1.1.0", []),
        ("1.1.0", "1.0.0", "1.1.0-rc.1", []),
        # A patch of the same line: fixes are picked into it by hand, and the next version follows it.
        ("1.0.2", "1.0.0", "1.0.1", []),
        ("1.1.0", "1.0.0", "1.0.1", []),
        # What is older than the base is behind it.
        ("1.2.1", "1.2.0", "1.1.0", []),
        ("1.2.0-rc.1", "1.0.0", "1.1.0", []),
    ],
)
def test_moving_tags_are_not_taken_from_what_is_left_out(
    version: str, base: str, elsewhere: str, expected: list[str]
) -> None:
    """They never point at an image that lacks what a higher line has."""
    left_out = lines_left_out(v(version), v(base) if base else None, vs(elsewhere))
    assert tags_that_stay(v(version), left_out) == expected


def test_latest_can_be_left_out() -> None:
    """Only the version's own tags then."""


@given(st.lists(VERSIONS, min_size=1, max_size=8))
def test_moving_tags_only_go_forward(releases: list[Version]) -> None:
    """Whatever is released in whatever order, each moving tag ends at the highest stable version it stands for."""
    at: dict[str, Version] = {}
    done: list[Version] = []
    for version in releases:
        for tag in moving_tags(version, done):
            assert re.fullmatch(r"latest|[0-9]+(\.[0-9]+)?", check_tag(tag))
            assert tag not in at or at[tag] <= version
            at[tag] = version
        done.append(version)
    stable = [version for version in releases if not version.prerelease]
    assume(stable)
    assert at["latest"] == max(stable)
    for version in stable:
        minor = [other for other in stable if (other.major, other.minor) == (version.major, version.minor)]
        assert at[f"{version.major}.{version.minor}"] == max(minor)
        if version.major:
            assert at[str(version.major)] == max(other for other in stable if other.major == version.major)
    assert "0" not in at

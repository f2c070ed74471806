"""Ignore patterns, against a matcher written another way and against cases from Docker's documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.files.ignore import PatternError, PatternList


@pytest.mark.parametrize(
    ("patterns", "path", "picked"),
    [
        (["*/temp*"], "somedir/temporary.txt", True),
        (["*/temp*"], "temporary.txt", False),
        (["*/*/temp*"], "somedir/subdir/temporary.txt", True),
        (["temp?"], "tempa", True),
        (["temp?"], "temp", False),
        (["**/*.go"], "main.go", True),
        (["**/*.go"], "a/b/c.go", True),
        (["*.md", "!README.md"], "README.md", False),
        (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True),
        (["docs"], "docs/a/b", True),
        (["docs/"], "docs", True),
        (["docs", "!docs/a"], "docs/a/b", False),
        (["**"], "anything/at/all", True),
        (["a/**"], "a", False),
        (["a/**"], "a/b", True),
        (["**/a"], "xa", False),
        (["**a"], "xa", True),
        (["a/**/b"], "a/b", True),
        (["a/**/b"], "a/x/y/b", True),
        (["[a-c]x"], "bx", True),
        (["[^a-c]x"], "bx", False),
        (["\\*"], "*", True),
        (["\\*"], "x", False),
        (["a.b"], "axb", False),
        (["a+(b)|c{d}$"], "a+(b)|c{d}$", True),
        (["./a/../b"], "b", True),
        (["  a  "], "a", True),
        ([""], "a", False),
        (["/a"], "a", False),
        (["*"], "new\nline", True),
        (["\udcff*"], "\udcff\udcfe", True),
        # A backslash at the end that Go's filepath.Match does not come to takes the end away.
        (["a/**/b\\"], "a/x/b$", True),
        (["a/**/b\\"], "a/b$c", True),
        (["a/**/b\\"], "a/x/b", False),
        (["a/**/b\\"], "a/x/b\\", False),
    ],
)
def test_documented_cases(patterns: list[str], path: str, picked: bool) -> None:
    """A path is picked as Docker documents it."""
    assert PatternList(patterns).picks(path) is picked


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "[^]", "[a-]", "a\\", "*\\", "!a\\", ".*[", "!", "[b-a]"])
def test_bad_patterns(pattern: str) -> None:
    """A pattern Go's filepath.Match refuses is refused."""
    with pytest.raises(PatternError):
        PatternList([pattern])


COMPONENTS = st.sampled_from(["a", "b", "ab", "a.b", "x", "*", "?", "a*", "*b", "**", "[ab]", "[^a]", "\\a"])
PATTERNS = st.builds(
    lambda negative, parts: ("!" if negative else "") + "/".join(parts),
    st.booleans(),
    st.lists(COMPONENTS, min_size=1, max_size=4),
)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a.b", "x", "ax", "xb"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(PATTERNS, max_size=4), PATHS)
def test_an_independent_matcher_agrees(patterns: list[str], path: str) -> None:
    """A matcher that walks pattern and path character by character picks the same paths."""
    assert PatternList(patterns).picks(path) == _picks(patterns, path)


@given(st.lists(PATTERNS, max_size=4), PATHS)
def test_skipping_a_folder_loses_nothing(patterns: list[str], path: str) -> None:
    """A folder that is said to hold nothing more holds no path that is picked by an exception or an inclusion."""
    matcher = PatternList(patterns)
    parts = path.split("/")
    for negative in (False, True):
        if not matcher.all_fixed(negative=negative):
            continue
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if matcher.may_pick_below(folder, negative=negative):
                continue
            deciding = [p for p in matcher.patterns if p.negative == negative]
            assert not any(p.matches(path) and not p.matches(folder) for p in deciding if "*" not in p.fixed_part)


def _picks(patterns: list[str], path: str) -> bool:
    """The last pattern that matches the path or one of its parents decides, but only if it could change anything."""
    prefixes = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
    hit_by = [False] * len(patterns)
    picked = False
    for prefix in prefixes:
        picked = False
        for number, pattern in enumerate(patterns):
            negative, text = pattern.startswith("!"), pattern.lstrip("!")
            if not hit_by[number] and negative == picked:
                hit_by[number] = _match(text, prefix)
            if hit_by[number]:
                picked = not negative
    return picked


def _match(pattern: str, path: str) -> bool:
    if not pattern:
        return not path
    if pattern.startswith("**"):
        rest = pattern[2:]
        if rest.startswith("/"):
            rest = rest[1:]
        if not rest:
            return True
        # Whole folders are crossed; a leading `**` with plain text behind it and no slash crosses anything.
        starts = [0, *(n + 1 for n, char in enumerate(path) if char == "/")]
        if not pattern.startswith("**/") and not set("*?[]\\") & set(rest):
            starts = list(range(len(path) + 1))
        return any(_match(rest, path[start:]) for start in starts)
    if pattern[0] == "*":
        for end in range(len(path) + 1):
            if _match(pattern[1:], path[end:]):
                return True
            if end < len(path) and path[end] == "/":
                return False
        return False
    if not path:
        return False
    if pattern[0] == "?":
        return path[0] != "/" and _match(pattern[1:], path[1:])
    if pattern[0] == "[":
        end = pattern.index("]")
        inside = pattern[1:end].lstrip("^")
        return (path[0] in inside) != pattern.startswith("[^") and _match(pattern[end + 1 :], path[1:])
    if pattern[0] == "\\":
        pattern = pattern[1:]
    return pattern[0] == path[0] and _match(pattern[1:], path[1:])

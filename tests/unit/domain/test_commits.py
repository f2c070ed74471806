"""Conventional Commits 1.0.0, and the bump that a series of commits asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.domain.commits import Commit, ConventionalMessage, decide, parse_message
from flows.domain.version import Bump, Version, parse_version

STABLE = parse_version("1.4.0")
YOUNG = parse_version("0.4.0")


def series(*messages: str) -> list[Commit]:
    """Commits, newest first, with ids 0001..., 0002..."""
    return [Commit(f"{number:04x}" + "0" * 36, message) for number, message in enumerate(messages, 1)]


# Messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("feat: add x", ("feat", None, "add x", "", (), False)),
        ("fix(parser): y", ("fix", "parser", "y", "", (), False)),
        ("feat!: z", ("feat", None, "z", "", (), True)),
        ("feat(api)!: z", ("feat", "api", "z", "", (), True)),
        ("FEAT: loud", ("feat", None, "loud", "", (), False)),
        ("docs: a\n\nbody line\nmore", ("docs", None, "a", "body line\nmore", (), False)),
        ("fix: a\r\n\r\nbody\r\n", ("fix", None, "a", "body", (), False)),
        (
            "fix: a\n\nbody\n\nReviewed-by: Z\nRefs: #123",
            ("fix", None, "a", "body", (("Reviewed-by", "Z"), ("Refs", "#123")), False),
        ),
        ("fix: a\n\nCloses #12", ("fix", None, "a", "", (("Closes", "#12"),), False)),
        (
            "feat: a\n\nBREAKING CHANGE: one\nmore of it\n\nand more\nRefs: 1",
            ("feat", None, "a", "", (("BREAKING CHANGE", "one\nmore of it\n\nand more"), ("Refs", "1")), True),
        ),
        ("chore: a\n\nBREAKING-CHANGE: b", ("chore", None, "a", "", (("BREAKING-CHANGE", "b"),), True)),
        (
            "chore: a\n\nbody\nBREAKING CHANGE: in the body",
            ("chore", None, "a", "body\nBREAKING CHANGE: in the body", (), True),
        ),
        ("chore: a\n\nbreaking change: lower case", ("chore", None, "a", "breaking change: lower case", (), False)),
        ("chore: a\n\nno BREAKING CHANGE: here", ("chore", None, "a", "no BREAKING CHANGE: here", (), False)),
    ],
)
def test_messages_are_read(message: str, expected: tuple[object, ...]) -> None:
    """Header, body and footers by the specification."""
    assert parse_message(message) == ConventionalMessage(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Merge branch 'topic'",
        "Merge pull request #1 from x/feat: y",
        'Revert "feat: x"',
        "fixup! feat: x",
        "feat:no space",
        "feat : x",
        "feat:",
        "feat: ",
        ": x",
        "feat(: x",
        "feat()!: x",
        "some words: x",
        "feat!!: x",
    ],
)
def test_other_messages_are_not_conventional(message: str) -> None:
    """Nothing is guessed from a header that does not follow the specification."""
    assert parse_message(message) is None


@given(st.text(max_size=80))
def test_any_message_can_be_read(message: str) -> None:
    """Whatever people write, reading does not fail, and deciding gives a reason."""
    parse_message(message)
    assert decide([Commit("a" * 40, message)], current=STABLE).reason


# Decisions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "bump", "deciding"),
    [
        (["fix: a"], Bump.PATCH, [0]),
        (["perf: a"], Bump.PATCH, [0]),
        (["feat: a"], Bump.MINOR, [0]),
        (["docs!: a"], Bump.MAJOR, [0]),
        (["fix: a", "feat: b", "fix: c"], Bump.MINOR, [1]),
        (["feat: a", "fix!: b", "feat: c", "chore: d\n\nBREAKING CHANGE: x"], Bump.MAJOR, [1, 3]),
        (["docs: a", "fix: b", "perf: c", "test: d"], Bump.PATCH, [1, 2]),
        (["Merge branch\n\nBREAKING CHANGE: said in the merge"], Bump.MAJOR, [0]),
        (["docs: a", "chore: b", "style: c", "refactor: d", "test: e", "ci: f", "build: g"], None, []),
        (["Merge branch 'x'", "wip"], None, []),
        ([], None, []),
    ],
)
def test_the_highest_wish_decides(messages: list[str], bump: Bump | None, deciding: list[int]) -> None:
    """Breaking above feature above fix; nothing of these is nothing to release."""
    commits = series(*messages)
    decision = decide(commits, current=STABLE)
    assert decision.bump == bump
    assert list(decision.deciding) == [commits[number] for number in deciding]


def test_below_one_a_breaking_change_is_minor() -> None:
    """SemVer section 4: 0.y.z may break at any time, and only --bump major leaves it."""
    commits = series("feat!: a", "fix: b")
    for current in (YOUNG, None):
        decision = decide(commits, current=current)
        assert decision.bump is Bump.MINOR
        assert decision.deciding == (commits[0],)
        assert "below 1.0.0" in decision.reason
    assert decide(series("feat: a"), current=YOUNG).bump is Bump.MINOR
    assert decide(series("fix: a"), current=YOUNG).bump is Bump.PATCH


def test_a_revert_cancels_what_it_reverts() -> None:
    """Both git's own sentence and a `revert:` with Refs; what is left decides."""
    feature = "2" + "0" * 39
    commits = [
        Commit("3" * 40, f'Revert "feat: b"\n\nThis reverts commit {feature}.'),
        Commit(feature, "feat: b"),
        Commit("1" * 40, "fix: a"),
    ]
    assert decide(commits, current=STABLE).deciding == (commits[2],)
    commits[0] = Commit("3" * 40, f"revert: feat: b\n\nRefs: {feature[:9]}, 9999999")
    assert decide(commits, current=STABLE).deciding == (commits[2],)
    assert decide(commits[:2], current=STABLE).bump is None


def test_a_revert_of_a_revert_brings_it_back() -> None:
    """The feature counts again."""
    commits = [
        Commit("c" * 40, f"This reverts commit {'b' * 40}."),
        Commit("b" * 40, f"This reverts commit {'a' * 40}."),
        Commit("a" * 40, "feat: x"),
    ]
    assert decide(commits, current=STABLE).deciding == (commits[2],)


def test_a_revert_of_a_released_commit_is_a_fix() -> None:
    """What is out is changed by it."""
    for message in (f'Revert "feat: x"\n\nThis reverts commit {"d" * 40}.', "revert: feat: x"):
        assert decide(series(message, "docs: y"), current=STABLE).bump is Bump.PATCH


def test_reasons_name_the_commits() -> None:
    """A sentence for people, with the first few of the deciding commits."""
    assert decide(series("feat: a", "fix: b"), current=STABLE).reason == "minor, because of a feature: 00010000 feat: a"
    many = decide(series(*(f"fix: {n}" for n in range(5))), current=STABLE).reason
    assert many.startswith("patch, because of 5 fixes: 00010000 fix: 0; ")
    assert many.endswith("; and 2 more")
    assert decide(series("docs: a"), current=STABLE).reason.startswith("the one commit since the last version is no ")
    assert decide(series("docs: a", "ci: b"), current=STABLE).reason.startswith("none of 2 commits ")
    assert "no commits" in decide([], current=STABLE).reason


TYPES = st.sampled_from(["feat", "fix", "perf", "docs", "chore", "refactor"])
MESSAGES = st.builds("{}{}: x".format, TYPES, st.sampled_from(["", "!", "(a)", "(a)!"]))
ORDER = [None, Bump.PATCH, Bump.MINOR, Bump.MAJOR]


@given(st.lists(MESSAGES, max_size=6), MESSAGES, st.sampled_from([STABLE, YOUNG, None]))
def test_another_commit_never_lowers_the_bump(messages: list[str], more: str, current: Version | None) -> None:
    """Monotonic, and the deciding commits are of the series."""
    before = decide(series(*messages), current=current)
    after = decide(series(*messages, more), current=current)
    assert ORDER.index(after.bump) >= ORDER.index(before.bump)
    assert (before.bump is None) == (not before.deciding)
    assert set(before.deciding) <= set(series(*messages))

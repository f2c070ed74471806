"""The bump that a series of Conventional Commits asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.commits import Commit, Decision, decide
from prefect_slipway.infra.domain.errors import ReleaseAsRefused
from prefect_slipway.infra.domain.version import Bump, Version, parse_version

STABLE = parse_version("1.4.0")
YOUNG = parse_version("0.4.0")


def asking(decision: Decision) -> list[Commit]:
    """The commits that decided."""
    return [wish.commit for wish in decision.deciding]


def series(*messages: str) -> list[Commit]:
    """Commits, newest first, with ids 0001..., 0002..."""
    return [Commit(f"{number:04x}" + "0" * 36, message) for number, message in enumerate(messages, 1)]


@given(st.text(max_size=80))
def test_any_message_leads_to_a_decision(message: str) -> None:
    """Whatever people write, deciding gives a reason."""
    assert decide([Commit("a" * 40, message)], current=STABLE).reason


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
    assert asking(decision) == [commits[number] for number in deciding]


def test_below_one_a_breaking_change_is_minor() -> None:
    """SemVer section 4: 0.y.z may break at any time, and only --bump major leaves it."""
    commits = series("feat!: a", "fix: b")
    for current in (YOUNG, None):
        decision = decide(commits, current=current)
        assert decision.bump is Bump.MINOR
        assert asking(decision) == [commits[0]]
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
    assert asking(decide(commits, current=STABLE)) == [commits[2]]
    commits[0] = Commit("3" * 40, f"revert: feat: b\n\nRefs: {feature[:9]}")
    assert asking(decide(commits, current=STABLE)) == [commits[2]]
    assert decide(commits[:2], current=STABLE).bump is None


def test_a_revert_of_something_released_and_of_something_new_does_both() -> None:
    """What is new is cancelled, and what is out is changed by it: a patch."""
    commits = [Commit("3" * 40, f"revert: both\n\nRefs: {'2' * 9}, 9999999"), Commit("2" * 40, "feat: b")]
    decision = decide(commits, current=STABLE)
    assert (decision.bump, asking(decision)) == (Bump.PATCH, [commits[0]])
    assert decision.reason.endswith("33333333 revert: both (reverts 9999999, which is released)")


def test_a_revert_that_calls_itself_a_feature_is_one() -> None:
    """It cancels what it names, and is counted as what its header says."""
    commits = [
        Commit("3" * 40, f"feat: another way\n\nThis reverts commit {'2' * 40}."),
        Commit("2" * 40, "feat!: a way"),
    ]
    decision = decide(commits, current=STABLE)
    assert (decision.bump, asking(decision)) == (Bump.MINOR, [commits[0]])


def merged(*messages: str) -> tuple[list[Commit], dict[str, tuple[str, ...]]]:
    """On main commit 1, then merge 4 of the branch 2, 3 that began before 1, then 5 and 6 with these messages.

    (Commits and parents as git lists them, children first.)
    """
    parents = {"6": "5", "5": "4", "4": "13", "3": "2", "2": "0", "1": "0"}
    texts = {"1": "feat: on main", "2": "feat: on the branch", "3": "fix!: on the branch", "4": "Merge branch 'topic'"}
    texts |= zip("56", messages, strict=False)
    commits = [Commit(number * 40, texts[number]) for number in parents if number in texts]
    named = {number * 40: tuple(parent * 40 for parent in parents[number]) for number in parents if number in texts}
    return commits, named


REVERT = f"Revert \"Merge branch 'topic'\"\n\nThis reverts commit {'4' * 40}, reversing\nchanges made to "


def test_a_revert_of_a_merge_takes_back_what_the_merge_brought() -> None:
    """The branch's commits do not count, those of the line that stays do; also where the branch was the line."""
    for mainline, left in (("1", ["feat: on main"]), ("3", ["fix!: on the branch"])):
        commits, parents = merged(f"{REVERT}{mainline * 40}.")
        decision = decide(commits, current=STABLE, parents=parents)
        assert [commit.subject for commit in asking(decision)] == left
    assert decide(commits, current=STABLE, parents=parents).bump is Bump.MAJOR
    commits, parents = merged(f"revert: the topic\n\nRefs: {'4' * 8}")
    assert [commit.subject for commit in asking(decide(commits, current=STABLE, parents=parents))] == ["feat: on main"]


def test_a_reverted_revert_of_a_merge_brings_it_back() -> None:
    """The branch's breaking change counts again."""
    commits, parents = merged(f"{REVERT}{'1' * 40}.", f"Reapply\n\nThis reverts commit {'5' * 40}.")
    assert decide(commits, current=STABLE, parents=parents).bump is Bump.MAJOR


def test_a_reverted_merge_that_does_not_touch_the_source_itself_is_known() -> None:
    """A merge is not among the commits of a part of a repository, but what it brought there is."""
    commits, parents = merged(f"{REVERT}{'1' * 40}.")
    part = [commit for commit in commits if not commit.message.startswith("Merge")]
    assert [commit.subject for commit in asking(decide(part, current=STABLE, parents=parents))] == ["feat: on main"]


def test_a_revert_of_a_revert_brings_it_back() -> None:
    """The feature counts again."""
    commits = [
        Commit("c" * 40, f"This reverts commit {'b' * 40}."),
        Commit("b" * 40, f"This reverts commit {'a' * 40}."),
        Commit("a" * 40, "feat: x"),
    ]
    assert asking(decide(commits, current=STABLE)) == [commits[2]]


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
    assert set(asking(before)) <= set(series(*messages))


@pytest.mark.parametrize(
    "text", ["2.0", "2.0.0.0", "latest", "2.0.0-", "9" * 5_000 + ".0.0", "2.0.0\x1b[2J", "0.9.0", "1.0.0-rc.1"]
)
def test_a_version_that_cannot_be_the_next_one_is_refused(text: str) -> None:
    """Whoever can push writes it: the error is short and harmless, and names the commit."""
    decision = decide([Commit("a" * 40, f"chore: a\n\nRelease-As: {text}")], current=Version(1))
    with pytest.raises(ReleaseAsRefused, match="aaaaaaaa chore: a") as refused:
        decision.version_named([Version(1)], [Version(1)])
    assert len(str(refused.value)) < 600 and "\x1b" not in str(refused.value)
    assert decision.bump is None

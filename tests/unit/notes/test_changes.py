"""Release notes: what commits tell, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from markdown_it import MarkdownIt

from prefect_slipway.flows.notes.changes import MAX_CHANGES, SECTIONS, Changes, changes_of
from prefect_slipway.flows.notes.write import as_markdown, as_text
from prefect_slipway.flows.values.notes import MAX_CHARACTERS
from prefect_slipway.infra.domain.commits import Commit
from prefect_slipway.infra.domain.forge import Forge

GITHUB = Forge.of("git@github.com:team/app.git")


def _id(letter: str) -> str:
    return letter * 40


def _changes(*messages: str, parents: Mapping[str, tuple[str, ...]] | None = None) -> Changes:
    """Of commits a, b, c ..., the newest first."""
    named = zip("abcdef0123456789", messages, strict=False)
    commits = [Commit(_id(letter), message, "Ann") for letter, message in named]
    return changes_of(commits, parents=parents)


def _told(changes: Changes) -> dict[str, list[str]]:
    return {section.title: [change.subject for change in section.changes] for section in changes.sections}


def test_changes_are_in_sections_by_type() -> None:
    """In the order of the sections, the newest first; types that nobody notices are left out."""
    changes = _changes("fix: two", "chore: tidy", "feat(api): new", "fix: one", "Update the text", "docs: more")
    assert _told(changes) == {"Features": ["new"], "Bug fixes": ["two", "one"], "Other changes": ["Update the text"]}
    assert changes.sections[0].changes[0].scope == "api"
    assert changes.commits == 6


def test_a_word_before_a_colon_is_no_type() -> None:
    """Only the types that people agree on, and those that have a section."""
    assert _told(_changes("Report: layers are counted", "tests: x")) == {
        "Other changes": ["Report: layers are counted"]
    }


def test_breaking_changes_come_first_with_their_text() -> None:
    """Of any type, by the footer or by `!`; the text is the footer's, else the subject."""
    changes = _changes(
        "refactor(db)!: drop tables",
        "feat: more\n\nWhy.\n\nBREAKING CHANGE: call it\nin another way\n\nRefs: #1",
        "chore: tidy\n\nBREAKING CHANGE:\nread the guide",
        "fix: quiet",
    )
    assert [change.breaking for change in changes.breaking.changes] == [
        "drop tables",
        "call it\nin another way",
        "read the guide",
    ]
    text = as_text(changes)
    assert text.index("Breaking changes") < text.index("Features") < text.index("Bug fixes")
    assert "- db: drop tables (aaaaaaaa)\n" in text
    assert "- more (bbbbbbbb)\n\n  call it\n  in another way\n" in text


def test_what_is_reverted_is_not_told() -> None:
    """Neither the change nor its revert, unless the change is released already; a reverted revert does nothing."""
    revert = f'Revert "feat: new"\n\nThis reverts commit {_id("b")}.'
    assert _told(_changes(revert, "feat: new", "fix: bug")) == {"Bug fixes": ["bug"]}
    old = f'Revert "feat: old"\n\nThis reverts commit {_id("9")}.'
    assert _told(_changes(old)) == {"Reverts": ["feat: old"]}
    again = f'Revert "Revert ..."\n\nThis reverts commit {_id("b")}.'
    undone = f'Revert "feat: new"\n\nThis reverts commit {_id("c")}.'
    assert _told(_changes(again, undone, "feat: new")) == {"Features": ["new"]}
    pull = 'Revert "feat: new (#1)" (#2)\n\nReverts team/app#1'
    assert _told(_changes(pull, "feat: new (#1)", "fix: bug")) == {"Bug fixes": ["bug"]}
    merge = (
        "Merge branch 'new' into 'main'\r\n\r\nNew\r\n\r\nSee merge request a/b!1\r\n\r\nCo-authored-by: B <b@c>",
        "wip",
    )
    parents = {_id("b"): (_id("d"), _id("c")), _id("c"): (_id("d"),), _id("d"): ()}
    undone = 'Revert "Merge branch ..."\n\nThis reverts merge request a/b!1'
    assert _told(_changes(undone, *merge, "fix: bug", parents=parents)) == {"Bug fixes": ["bug"]}


def test_a_squashed_pull_request_is_its_commit() -> None:
    """The number at the end of the title leads to it; issues that it closes follow."""
    changes = _changes("feat(ui): dark (#12)\n\nCloses #3, fixes #12 and resolves: #4", "fix: light (!7)")
    (feature,), (fix,) = (section.changes for section in changes.sections)
    assert (feature.subject, feature.pull, feature.issues) == ("dark", "12", ("3", "4"))
    assert (fix.subject, fix.pull) == ("light", "7")
    assert as_markdown(changes, GITHUB, ("1.0.0", "main")).split("\n")[2] == (
        "- **ui:** dark ([#12](https://github.com/team/app/pull/12), "
        f"[aaaaaaaa](https://github.com/team/app/commit/{_id('a')})), closes "
        "[#3](https://github.com/team/app/issues/3), [#4](https://github.com/team/app/issues/4)"
    )


@pytest.mark.parametrize(
    "merge",
    [
        "Merge pull request #12 from team/branch\n\nDark mode",
        "Merge pull request 'Dark mode' (#12) from branch into main\n\nReviewed",
        "Merge branch 'branch' into 'main'\n\nDark mode\n\nSee merge request team/app!12",
    ],
    ids=["github", "gitea", "gitlab"],
)
def test_a_merged_pull_request_stands_for_its_commits(merge: str) -> None:
    """By its title, where they have no type; else they are told themselves, with its number."""
    parents = {_id("a"): (_id("c"), _id("b")), _id("b"): (_id("c"),), _id("c"): ()}
    untyped = _changes(merge, "wip", "fix: before", parents=parents)
    assert _told(untyped) == {"Bug fixes": ["before"], "Other changes": ["Dark mode"]}
    assert untyped.sections[1].changes[0].pull == "12"
    typed = _changes(merge, "feat: dark", "fix: before", parents=parents)
    assert _told(typed) == {"Features": ["dark"], "Bug fixes": ["before"]}
    assert [section.changes[0].pull for section in typed.sections] == ["12", None]


def test_other_merges_are_not_told() -> None:
    """They say nothing that their commits do not."""
    assert _told(_changes("Merge branch 'main' into x", "Merge remote-tracking branch 'origin/main'")) == {}


def test_contributors_are_names_alone() -> None:
    """Authors and co-authors, once each, without addresses and without robots."""
    commits = [
        Commit(_id("a"), "feat: b\n\nCo-authored-by: Cy <cy@example.com>\nCo-authored-by: BO <b@example.com>", "bo"),
        Commit(_id("b"), "fix: x", "renovate[bot]"),
        Commit(_id("c"), "fix: a", "Ann <ann@example.com>"),
        Commit(_id("d"), "fix: a", "dee@example.com"),
    ]
    changes = changes_of(commits)
    assert changes.contributors == ("dee", "Ann", "bo", "Cy")
    assert "example.com" not in as_markdown(changes, None, None) + as_text(changes)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "![x](https://evil.example/pixel)",
        "[x](javascript:alert)",
        "# heading",
        "https://evil.example",
        "&lt;b&gt;",
        "`code` <b>`",
        "``<b>` <i>",
        "\x1b]0;title\x07\x1b[31mred",
        "\u202eevil",
    ],
)
def test_nothing_of_a_message_is_markup(hostile: str) -> None:
    """As subject, scope, breaking text or name, whatever is in it."""
    markdown_it = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    message = f"feat({hostile.replace('(', '').replace(')', '')}): {hostile}\n\nBREAKING CHANGE: {hostile}\n{hostile}"
    changes = changes_of([Commit(_id("a"), message, hostile), Commit(_id("b"), hostile, hostile)])
    text = as_markdown(changes, GITHUB, None)
    kinds = set()
    for token in markdown_it.parse(text):
        kinds.add(token.type)
        for inside in token.children or ():
            kinds.add(inside.type)
            if inside.type == "link_open":
                assert str(inside.attrs["href"]).startswith("https://github.com/team/app/")
            if inside.type == "text":
                assert "\x1b" not in inside.content and "\u202e" not in inside.content
    assert not kinds & {"html_block", "html_inline", "image", "fence", "code_block", "blockquote_open"}
    assert sum(token.type == "heading_open" for token in markdown_it.parse(text)) == text.count("\n### ") + 1
    assert "\x1b" not in as_text(changes) and "\u202e" not in as_text(changes)


def test_nobody_is_called() -> None:
    """A forge tells whoever is named with an @, and a stranger's commit may name everybody."""
    assert "@team" not in as_markdown(_changes("fix: thanks @team"), GITHUB, None)


def test_notes_are_bounded() -> None:
    """Whatever a history holds: many commits, long subjects and huge messages."""
    commits = [Commit(f"{number:040x}", f"feat: {'x' * 5_000} {number}", f"A{number}") for number in range(3_000)]
    huge = Commit(_id("a"), "feat: x\n\nBREAKING CHANGE: " + "y " * 5_000_000, "Ann")
    changes = changes_of([huge, *commits])
    assert len(changes.sections[0].changes) == MAX_CHANGES
    assert changes.sections[0].left_out == 3_001 - MAX_CHANGES
    for text in (as_markdown(changes, GITHUB, ("1.0.0", "2.0.0")), as_text(changes)):
        assert len(text) <= MAX_CHARACTERS
        assert text.endswith("(shortened)")


def test_nothing_to_tell_is_said() -> None:
    """A release of chores has notes as well."""
    assert as_text(_changes("chore: tidy", "test: more")) == (
        "No features, fixes or breaking changes (2 commits).\n\nContributors: Ann"
    )


def test_sections_are_of_ones_own() -> None:
    """Titles and order as asked; one title may have several types."""
    commits = [Commit(_id("a"), "docs: a"), Commit(_id("b"), "feat: b"), Commit(_id("c"), "build: c")]
    changes = changes_of(commits, sections={"docs": "Texts", "build": "Texts"})
    assert _told(changes) == {"Texts": ["a", "c"]}
    assert "feat" in SECTIONS


@pytest.mark.parametrize(
    ("url", "pull", "issue", "compare"),
    [
        ("https://github.com/t/a.git", "t/a/pull/1", "t/a/issues/1", "t/a/compare/v1...v2"),
        ("https://gitlab.example/g/s/a", "g/s/a/-/merge_requests/1", "g/s/a/-/issues/1", "g/s/a/-/compare/v1...v2"),
        ("ssh://git@codeberg.org/t/a.git", "t/a/pulls/1", "t/a/issues/1", "t/a/compare/v1...v2"),
    ],
)
def test_forges_have_pages(url: str, pull: str, issue: str, compare: str) -> None:
    """Each kind its own."""
    forge = Forge.of(url)
    assert forge is not None
    pages = (forge.pull("1"), forge.issue("1"), forge.compare("v1", "v2"))
    assert [page.split("/", 3)[3] for page in pages] == [pull, issue, compare]

"""Messages of commits: what follows Conventional Commits 1.0.0, and what is taken for a breaking change anyway."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.conventional import (
    ConventionalMessage,
    Reverted,
    breaking_sign,
    parse_message,
    release_as,
    reverted,
    type_of,
)


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
    """Whatever people write, reading does not fail."""
    parsed = parse_message(message)
    assert type_of(message) == (parsed.type if parsed is not None else None)
    breaking_sign(message)
    reverted(message)


@pytest.mark.parametrize(
    ("message", "sign"),
    [
        ("feat!: x", ""),
        ("feat(api)!: x", ""),
        ("fix: a\n\nBREAKING CHANGE: the text", "BREAKING CHANGE: the text"),
        ("fix: a\n\nBREAKING-CHANGE: the text", "BREAKING-CHANGE: the text"),
        # Angular's usual form.
        ("fix: a\n\nBREAKING CHANGE:\nthe text\nmore of it", "BREAKING CHANGE: the text"),
        ("fix: a\r\n\r\nBREAKING CHANGE: \r\nthe text\r\n", "BREAKING CHANGE: the text"),
        ("fix: a\n\nBREAKING CHANGE:", "BREAKING CHANGE:"),
        ("fix: a\n\nbody\nBREAKING CHANGE: in the body", "BREAKING CHANGE: in the body"),
        ("Merge branch 'x'\n\nBREAKING CHANGE: by a merge", "BREAKING CHANGE: by a merge"),
    ],
)
def test_a_breaking_change_is_marked_as_the_specification_says(message: str, sign: str) -> None:
    """`!` before the colon, or a line that begins with `BREAKING CHANGE:`, whose text may come on the next one."""
    assert breaking_sign(message) == sign


@pytest.mark.parametrize(
    "line",
    [
        "breaking change: lower case",
        "Breaking Change: as a title",
        "Breaking-Change: as a trailer",
        "BREAKING CHANGES: several",
        "BREAKING_CHANGE: an underscore",
        "BREAKING CHANGE the colon is missing",
        "BREAKING CHANGE",
        "BREAKING CHANGE : a blank too many",
        "BREAKING CHANGE:no blank",
        "BREAKING: shortened",
        "  BREAKING CHANGE: indented",
        "* BREAKING CHANGE: in a list",
        "- breaking change: in a list",
        "**BREAKING CHANGE**: in bold",
        "**BREAKING CHANGE:** in bold",
        "### BREAKING CHANGES",
        "* feat!: one of the squashed commits",
        "- feat(api)!: one of the squashed commits",
    ],
)
def test_what_looks_like_a_breaking_change_is_taken_as_one(line: str) -> None:
    """In doubt it is one, and the sign says because of which line."""
    assert breaking_sign(f"fix: a\n\nbody\n{line}\nmore") == f"taken as breaking because of {line.strip()!r}"


@pytest.mark.parametrize(
    "header", ["feat!(api): x", "feat !: x", "feat(api) !: x", "feat!!: x", "feat!:x", "BREAKING CHANGE: x"]
)
def test_a_header_that_looks_breaking_is_taken_as_such(header: str) -> None:
    """A `!` at the wrong place, and the footer as the header."""
    assert breaking_sign(f"{header}\n\nbody") == f"taken as breaking because of {header!r}"


@pytest.mark.parametrize(
    "message",
    [
        "fix: no breaking change",
        "fix: a\n\nno BREAKING CHANGE: here",
        "fix: a\n\nthis is not a\nbreaking change of anything",
        "docs: say what `BREAKING CHANGE:` means",
        "fix: stop!",
        "fix: a\n\nWatch out!: said in passing",
        'Revert "feat!: x"',
        "fix!ed: a",
    ],
)
def test_other_words_are_not_breaking(message: str) -> None:
    """Prose that speaks of breaking changes does not announce one."""
    assert breaking_sign(message) is None


@pytest.mark.parametrize(
    "text", [" " * 100_000, "a " * 50_000, "* " * 50_000, "(" * 100_000, "breaking change " * 9_000]
)
def test_a_hostile_message_costs_no_time(text: str) -> None:
    """Nothing in a line makes reading it expensive: what a regular expression sees of a line is bounded."""
    for message in (f"{text}!", f"feat: a\n\n{text}!", f"feat: a\n\n{text}breaking{text}"):
        breaking_sign(message)
        reverted(f"{message}\nrevert")
        reverted(f'Revert "{text}"{text}\n\nReverts {text}/{text}#1\nThis reverts merge request {text}!1')


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('Revert "x"\n\nThis reverts commit 1234567890abcdef.', [Reverted("1234567890abcdef")]),
        ('Revert "x"\n\nThis reverts commit 1234567 (feat: x, 2026-01-02).', [Reverted("1234567")]),
        (
            "Revert \"Merge branch 'x'\"\n\nThis reverts commit 1234567, reversing\nchanges made to 89abcde.\n",
            [Reverted("1234567", "89abcde")],
        ),
        (
            "This reverts commit 1234567.\nThis reverts commit 89abcde.",
            [Reverted("1234567"), Reverted("89abcde")],
        ),
        ("revert: feat: x\n\nRefs: 1234567, 89abcde", [Reverted("1234567"), Reverted("89abcde")]),
        ("revert: feat: x\n\nRefs: #1234567", []),
        ("fix: a\n\nRefs: 1234567", []),
        ("docs: This reverts commit 1234567.", []),
        ('Revert "feat: x (#12)" (#13)\r\n\r\nReverts team/app#12\r\n', [Reverted("", pull="12")]),
        ('Revert "x"\n\nReverts #12', [Reverted("", pull="12")]),
        (
            "Revert \"Merge branch 'x' into 'y'\"\n\nThis reverts merge request team/sub/app!12",
            [Reverted("", pull="12")],
        ),
        ('Revert "x" (#13)\n\nReverts team/app#12\n\n* This\n\nThis reverts commit 1234567.', [Reverted("1234567")]),
        ("fix: a\n\nReverts team/app#12", []),
    ],
)
def test_reverts_name_what_they_revert(message: str, expected: list[Reverted]) -> None:
    """git's sentence (also that of `revert.reference`, and of merges), the `Refs:` of the specification, and what
    forges write of a pull request."""
    assert reverted(message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("chore: a\n\nRelease-As: 2.0.0", "2.0.0"),
        ("a\n\nRELEASE-AS:   v2.0.0 \r\n", "v2.0.0"),
        (
            "a\n\nbody\n\nRefs: #1\n  and more\nRelease-As: 2.0.0\nRelease-As: 3.0.0\n(cherry picked from commit abc)",
            "2.0.0",
        ),
        ("a\n\nRelease-As: 2.0.0\n\n---------\n\nCo-authored-by: A <a@b>\n\n\nCo-authored-by: C <c@d>", "2.0.0"),
        ("a\n\nRelease-As: 2.0.0\n\nno trailer", None),
        ("a\n\nsaid:\nRelease-As: 2.0.0 is what I wrote, and\nit was ignored", None),
        ("a\n\nno trailer\nRelease-As: 2.0.0", None),
        ("a\nRelease-As: 2.0.0", None),
        ("Release-As: 2.0.0", None),
        ("a\n\nRelease-As:", None),
        ("a\n\nRelease-As 2.0.0", None),
    ],
)
def test_a_trailer_names_the_version(message: str, expected: str | None) -> None:
    """As git reads trailers: in the last paragraph, and nothing else in it; and with GitHub's co-authors after it."""
    assert release_as(message) == expected

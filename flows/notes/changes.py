"""What commits tell: the changes of a version, in sections.

- A commit counts as it counts for the version (infra/domain/commits): a revert cancels what it reverts, near misses of
  `BREAKING CHANGE` are breaking.
- Pull requests are read as forges write them: `title (#12)` and `title (!12)` where commits are squashed, `Merge pull
  request #12 from ...`, `Merge pull request 'title' (#12) from ...` (Gitea) and `See merge request group/app!12`
  (GitLab) where they are merged. What a merge brought belongs to its pull request. Its title stands in place of the
  commits without a type, or is left out if all have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from prefect_slipway.infra.domain.commits import Commit, Left, Since, not_reverted
from prefect_slipway.infra.domain.conventional import breaking_sign, parse_message, type_of
from prefect_slipway.infra.domain.outside import one_line, plain
from prefect_slipway.infra.domain.pull_requests import merged, squashed
from prefect_slipway.infra.domain.text import shortened

MAX_COMMITS = 5_000
MAX_CHANGES = 400
"""Changes and contributors that are told; the others are counted."""
UNTYPED = ""
SECTIONS: Mapping[str, str] = {
    "feat": "Features",
    "fix": "Bug fixes",
    "perf": "Performance",
    "revert": "Reverts",
    UNTYPED: "Other changes",
}

# Types whose changes users do not notice. Any other word before a colon is no type (`Report: ...`).
_QUIET = {"build", "chore", "ci", "docs", "refactor", "style", "test", "tests"}

# Of a message; what is longer was not written for people.
_LOOKED_AT = 20_000
_LONGEST_SUBJECT, _LONGEST_BREAKING = 200, 2_000
_MOST_ISSUES = 10

_MERGE = re.compile(r"Merge (?:branch|branches|remote-tracking branch|tag|commit|pull request) .*|Merge [0-9a-f]{7,}.*")
_CLOSED = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):? +#(?P<number>\d{1,9})\b", re.IGNORECASE)
_REVERTED_SUBJECT = re.compile(r'Revert "(?P<subject>.*)"')
_BREAKING = re.compile(r"^BREAKING[ -]CHANGE:[ ]?(?P<text>.*(?:\n(?!\n|[A-Za-z-]+: ).*)*)", re.MULTILINE)
_CO_AUTHOR = re.compile(r"^Co-authored-by:\s*(?P<name>[^<\n]{1,200}?)\s*<[^>\n]*>\s*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Change:
    """One commit, or one pull request's merge. Everything is plain text, as somebody wrote it.

    `type`: UNTYPED without one. `breaking`: what breaks, "" if nothing does. `pull`, `issues`: numbers.
    """

    revision: str
    type: str
    scope: str | None
    subject: str
    breaking: str = ""
    pull: str | None = None
    issues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """`left_out`: how many more changes there are."""

    title: str
    changes: tuple[Change, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """`breaking`: those that break something, in their sections as well if these are told. `commits`: how many were
    looked at. `contributors`: names."""

    breaking: Section
    sections: tuple[Section, ...]
    contributors: tuple[str, ...]
    commits: int


def changes_of(
    commits: Sequence[Commit],
    *,
    parents: Mapping[str, Sequence[str]] | None = None,
    sections: Mapping[str, str] = SECTIONS,
) -> Changes:
    """What `commits` tell, each before its parents; the newest first in each section.

    `parents`: as of `commits.decide`. `sections`: titles by type, in their order; types that are not in it are told
    only where they break something.
    """
    since = Since([commit.revision for commit in commits], parents or {})
    left = [
        replace(each, commit=replace(each.commit, message=each.commit.message[:_LOOKED_AT]))
        for each in not_reverted(commits, since)
    ]
    found = list(_changes(left, since, {*sections, *SECTIONS, *_QUIET}))
    told: dict[str, list[Change]] = {title: [] for title in sections.values() if title}
    for change in found:
        if title := sections.get(change.type):
            told[title].append(change)
    return Changes(
        _section("Breaking changes", [change for change in found if change.breaking]),
        tuple(_section(title, changes) for title, changes in told.items() if changes),
        tuple(_names(commits)),
        len(commits),
    )


def _section(title: str, changes: Sequence[Change]) -> Section:
    return Section(title, tuple(changes[:MAX_CHANGES]), max(0, len(changes) - MAX_CHANGES))


@dataclass(slots=True)
class _Merge:
    """A pull request that was merged. `typed`: it brought commits with a type."""

    number: str
    title: str
    typed: bool = False
    brought: set[str] = field(default_factory=set)


def _changes(left: Sequence[Left], since: Since, known: Set[str]) -> Iterator[Change]:
    merges = {each.commit.revision: _Merge(*said) for each in left if (said := merged(each.commit.message)) is not None}
    of: dict[str, _Merge] = {}
    # Oldest first: a pull request that was merged into another one's branch keeps its commits.
    for revision, merge in reversed(merges.items()):
        merge.brought = since.brought_by(revision, None) - {revision}
        for brought in merge.brought:
            of.setdefault(brought, merge)
    typed = {each.commit.revision for each in left if type_of(each.commit.message) in known}
    for revision in typed & of.keys():
        of[revision].typed = True
    for each in left:
        commit = each.commit
        own = merges.get(commit.revision)
        breaking = _breaking(commit.message)
        if each.reverts and not each.released and not breaking and not _is_typed_otherwise(commit):
            continue  # what it reverts is not told either
        if own is not None:
            if breaking or (not own.typed and own.title):
                yield _change(commit, own.title or commit.subject, breaking, known, pull=own.number)
        elif breaking or not _MERGE.fullmatch(commit.subject):
            inside = of.get(commit.revision)
            if breaking or commit.revision in typed or inside is None or not inside.title:
                yield _change(commit, commit.subject, breaking, known, pull=inside.number if inside else None)


def _change(commit: Commit, subject: str, breaking: str, known: Set[str], *, pull: str | None) -> Change:
    subject, number = squashed(subject)
    pull = number or pull
    parsed = parse_message(subject) if type_of(subject) in known else None
    type_, scope = (parsed.type, parsed.scope) if parsed is not None else (UNTYPED, None)
    if parsed is not None:
        subject = parsed.subject
    elif again := _REVERTED_SUBJECT.fullmatch(subject):
        type_, subject = "revert", again["subject"]
    issues = dict.fromkeys(match["number"] for match in _CLOSED.finditer(commit.message))
    return Change(
        commit.revision,
        type_,
        shortened(one_line(scope), _LONGEST_SUBJECT) if scope else None,
        shortened(one_line(subject), _LONGEST_SUBJECT),
        breaking,
        pull,
        tuple(number for number in issues if number != pull)[:_MOST_ISSUES],
    )


def _breaking(message: str) -> str:
    """What breaks: the text of the footer (or of what stands for one), else the subject."""
    sign = breaking_sign(message)
    if sign is None:
        return ""
    message = message.replace("\r\n", "\n")
    texts = [match["text"].strip() for match in _BREAKING.finditer(message)]
    subject = message.strip().partition("\n")[0]
    parsed = parse_message(subject)
    text = "\n\n".join(filter(None, texts)) or (parsed.subject if parsed is not None else subject)
    return shortened(plain(text).strip(), _LONGEST_BREAKING)


def _is_typed_otherwise(commit: Commit) -> bool:
    parsed = parse_message(commit.message)
    return parsed is not None and parsed.type != "revert"


def _names(commits: Sequence[Commit]) -> Iterator[str]:
    """Of people, in the order of their first commit; no addresses, and no robots."""
    seen: set[str] = set()
    for commit in reversed(commits):
        written = (match["name"] for match in _CO_AUTHOR.finditer(commit.message[:_LOOKED_AT]))
        for name in (commit.author, *written):
            shown = shortened(re.split("[<@]", one_line(name))[0].strip(), 80)
            if shown and not shown.endswith("[bot]") and shown.casefold() not in seen:
                seen.add(shown.casefold())
                yield shown

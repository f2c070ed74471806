"""Conventional Commits 1.0.0 (conventionalcommits.org), and the bump that a series of commits asks for.

The choices that the specification leaves open:

- `feat` asks for a minor version, `fix` and `perf` for a patch; `!` or a `BREAKING CHANGE:` line, with any
  type, for a major one. All other types (docs, test, chore ...) ask for nothing.
- Below 1.0.0 a breaking change asks for a minor version (SemVer section 4: anything may change at any time).
  Only an explicit `--bump major` leaves 0.y.z.
- A revert of a commit of the same series cancels both; a revert of something already released is a patch.
- A `BREAKING CHANGE:` line counts wherever it starts a line, and in commits whose header is not conventional
  as well (merges): a breaking change that goes unnoticed is the worse mistake.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flows.domain.version import Bump, Version

_HEADER = re.compile(
    r"(?P<type>[A-Za-z][A-Za-z0-9_-]*)(?:\((?P<scope>[^()\n]+)\))?(?P<breaking>!)?: +(?P<subject>\S.*)"
)
# A footer's token: a word with "-" for blanks, then ": " or " #"; only BREAKING CHANGE may have a blank.
_FOOTER = re.compile(r"(?P<token>BREAKING CHANGE(?=: )|[A-Za-z][A-Za-z0-9-]*)(?:: | (?=#))(?P<value>.*)")
_BREAKING_LINE = re.compile(r"^BREAKING[ -]CHANGE: +\S", re.MULTILINE)
_GIT_REVERT = re.compile(r"^This reverts commit ([0-9a-f]{7,64})\b", re.MULTILINE)
_REVISION = re.compile(r"\b[0-9a-f]{7,64}\b")

_PATCH_TYPES = frozenset({"fix", "perf"})
_SHOWN_COMMITS = 3


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its full id, and its whole message."""

    revision: str
    message: str

    @property
    def subject(self) -> str:
        """The message's first line."""
        return self.message.strip().partition("\n")[0].rstrip()

    def __str__(self) -> str:
        return f"{self.revision[:8]} {self.subject}"


@dataclass(frozen=True, slots=True)
class ConventionalMessage:
    """A message that follows the specification. `type` is lower case; `footers` keeps the order."""

    type: str
    scope: str | None
    subject: str
    body: str
    footers: tuple[tuple[str, str], ...]
    breaking: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What a series of commits asks for.

    `bump`: None when there is nothing to release. `deciding`: the commits that ask for the highest bump,
    newest first. `reason`: a sentence for people.
    """

    bump: Bump | None
    deciding: tuple[Commit, ...]
    reason: str


def parse_message(message: str) -> ConventionalMessage | None:
    """Read a commit message; None if its header is not conventional (`Merge branch ...`, `fixup! ...`)."""
    header, _, rest = message.replace("\r\n", "\n").strip().partition("\n")
    match = _HEADER.fullmatch(header.rstrip())
    if match is None:
        return None
    body, footers = _body_and_footers(rest)
    return ConventionalMessage(
        type=match["type"].lower(),
        scope=match["scope"],
        subject=match["subject"],
        body=body,
        footers=footers,
        breaking=match["breaking"] is not None or _BREAKING_LINE.search(rest) is not None,
    )


def decide(commits: Sequence[Commit], *, current: Version | None) -> Decision:
    """The bump for `commits` (newest first, as git lists them) after `current`, None before the first."""
    if not commits:
        return Decision(None, (), "no commits since the last version touch the source")
    asked = [(commit, bump) for commit in _in_effect(commits) if (bump := _bump_of(commit, commits)) is not None]
    for bump in (Bump.MAJOR, Bump.MINOR, Bump.PATCH):
        deciding = tuple(commit for commit, wanted in asked if wanted is bump)
        if deciding:
            return _decision(bump, deciding, current)
    count = "the one commit" if len(commits) == 1 else f"none of {len(commits)} commits"
    verb = "is no" if len(commits) == 1 else "is a"
    return Decision(None, (), f"{count} since the last version {verb} feature, fix or breaking change")


def _decision(bump: Bump, deciding: tuple[Commit, ...], current: Version | None) -> Decision:
    kind = {Bump.MAJOR: "breaking change", Bump.MINOR: "feature", Bump.PATCH: "fix"}[bump]
    note = ""
    if bump is Bump.MAJOR and (current is None or current.major == 0):
        bump, note = Bump.MINOR, " (a minor version below 1.0.0)"
    shown = "; ".join(str(commit) for commit in deciding[:_SHOWN_COMMITS])
    more = f"; and {len(deciding) - _SHOWN_COMMITS} more" if len(deciding) > _SHOWN_COMMITS else ""
    count = f"a {kind}" if len(deciding) == 1 else f"{len(deciding)} {kind}{'es' if kind == 'fix' else 's'}"
    return Decision(bump, deciding, f"{bump}, because of {count}{note}: {shown}{more}")


def _bump_of(commit: Commit, series: Sequence[Commit]) -> Bump | None:
    parsed = parse_message(commit.message)
    if (parsed and parsed.breaking) or _BREAKING_LINE.search(commit.message.replace("\r\n", "\n")):
        return Bump.MAJOR
    if reverted := _reverts(commit):
        return None if _find(reverted, series) else Bump.PATCH
    if parsed is None:
        return None
    if parsed.type == "feat":
        return Bump.MINOR
    return Bump.PATCH if parsed.type in _PATCH_TYPES or parsed.type == "revert" else None


def _in_effect(commits: Sequence[Commit]) -> list[Commit]:
    """The commits that no later one of the series reverts. A revert that was itself reverted does nothing."""
    cancelled: set[str] = set()
    kept = []
    for commit in commits:
        if commit.revision in cancelled:
            continue
        cancelled.update(_find(_reverts(commit), commits))
        kept.append(commit)
    return kept


def _reverts(commit: Commit) -> list[str]:
    """The (perhaps shortened) ids that a revert names: in git's sentence, or as `Refs:` of a `revert:`."""
    found = _GIT_REVERT.findall(commit.message)
    parsed = parse_message(commit.message)
    if parsed and parsed.type == "revert":
        refs = (value for token, value in parsed.footers if token.lower() == "refs")
        found += [revision for value in refs for revision in _REVISION.findall(value)]
    return found


def _find(shortened: Sequence[str], series: Sequence[Commit]) -> list[str]:
    return [c.revision for c in series if any(c.revision.startswith(prefix) for prefix in shortened)]


def _body_and_footers(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Footers begin with the first footer line after a blank line; a value lasts until the next one."""
    lines = text.split("\n")
    start = next((i for i in range(1, len(lines)) if not lines[i - 1].strip() and _FOOTER.fullmatch(lines[i])), None)
    if start is None:
        return text.strip(), ()
    footers: list[tuple[str, str]] = []
    for line in lines[start:]:
        if match := _FOOTER.fullmatch(line):
            footers.append((match["token"], match["value"]))
        else:
            token, value = footers[-1]
            footers[-1] = (token, f"{value}\n{line}")
    return "\n".join(lines[:start]).strip(), tuple((token, value.strip()) for token, value in footers)

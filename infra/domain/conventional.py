"""One commit's message by Conventional Commits 1.0.0 (conventionalcommits.org), and what people write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prefect_slipway.infra.domain.text import shortened

_HEADER = re.compile(
    r"(?P<type>[A-Za-z][A-Za-z0-9_-]*)(?:\((?P<scope>[^()\n]+)\))?(?P<breaking>!)?: +(?P<subject>\S.*)"
)
# A footer's token: a word with "-" for blanks, then ": " or " #". BREAKING CHANGE alone may have a blank, and its text
# on the next line.
_FOOTER = re.compile(
    r"(?:(?P<breaking>BREAKING[ -]CHANGE):(?: |$)|(?P<token>[A-Za-z][A-Za-z0-9-]*)(?:: | (?=#)))(?P<value>.*)"
)
_BREAKING_LINE = re.compile(r"BREAKING[ -]CHANGE:(?: .*)?")
# What people write who mean it: in other letters, marked up, without a colon, before the scope, in a list of what was
# squashed.
_ALMOST_BREAKING_LINE = re.compile(
    r"\s*(?:[#>*-]+\s+)*[*_]{0,2}(?:BREAKING[ _-]CHANGES?\b|(?:BREAKING|(?i:breaking[ _-]changes?))[*_]{0,2}\s*:).*"
)
_ALMOST_BREAKING_HEADER = re.compile(
    r"(?P<listed>\s*[*-]\s+)?[A-Za-z][\w-]*\s*(?:\([^()]*\)\s*)?!+\s*(?:\([^()]*\)\s*)?:.*"
)
# git's sequencer.c; with `revert.reference` the subject follows the id.
_GIT_REVERT = re.compile(
    r"^This reverts commit (?P<id>[0-9a-f]{7,64})\b(?: \(.*\))?"
    r"(?:, reversing\s+changes made to (?P<mainline>[0-9a-f]{7,64})\b)?",
    re.MULTILINE,
)
# A forge's own words: GitHub's for a squashed revert, and GitLab's (app/models/commit.rb).
_PULL_REVERT = re.compile(
    r"^(?:Reverts (?:[\w.-]{1,100}/[\w.-]{1,100})?#|This reverts merge request \S{0,200}!)(?P<number>\d{1,9})\b",
    re.MULTILINE,
)
_REVERT_SUBJECT = re.compile(r'Revert ".*"(?: ?\([#!]\d{1,9}\))?')
_RELEASE_AS = re.compile(r"release-as\s*:\s*(\S.*)", re.IGNORECASE)
# A line of a paragraph that git takes for trailers (trailer.c), or the rule that GitHub draws above co-authors.
_TRAILER = re.compile(r"[A-Za-z0-9-]+\s*:.*|\s+\S.*|\(cherry picked from commit .*|-{3,}")
# A number after "#" is an issue's.
_REVISION = re.compile(r"(?<![\w#])[0-9a-f]{7,64}\b")

# Of a line; what is longer was not written for people.
_LOOKED_AT = 200
_SHOWN = 80


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
class Reverted:
    """A commit that a message says to revert, by its (perhaps shortened) id; `mainline`: of a merge, the parent that
    stays. `pull`: the number of a pull request, in place of a commit."""

    revision: str
    mainline: str | None = None
    pull: str = ""

    def __str__(self) -> str:
        return f"#{self.pull}" if self.pull else self.revision[:8]


def parse_message(message: str) -> ConventionalMessage | None:
    """Read a commit message; None if its header is not conventional (`Merge branch ...`, `fixup! ...`)."""
    header, *rest = _lines(message)
    match = _HEADER.fullmatch(header)
    if match is None:
        return None
    body, footers = _body_and_footers(rest)
    return ConventionalMessage(
        type=match["type"].lower(),
        scope=match["scope"],
        subject=match["subject"],
        body=body,
        footers=footers,
        breaking=match["breaking"] is not None or any(map(_BREAKING_LINE.fullmatch, rest)),
    )


def type_of(message: str) -> str | None:
    """The type of a message that follows the specification, in lower case; None of another one."""
    match = _HEADER.fullmatch(message.strip().partition("\n")[0].rstrip())
    return match["type"].lower() if match is not None else None


def breaking_sign(message: str) -> str | None:
    """What marks a commit as breaking, in words; None if nothing does, "" for a `!` in the subject.

    Only `!` before the colon and a line that begins with `BREAKING CHANGE:` follow the specification. What looks like
    one of them says that it was taken as such.
    """
    if "!" not in message and "breaking" not in message.lower():
        return None
    header, *rest = _lines(message)
    match = _HEADER.fullmatch(header)
    if match is not None and match["breaking"]:
        return ""
    for number, line in enumerate(rest, 1):
        if _BREAKING_LINE.fullmatch(line):
            text = next((text for text in rest[number:] if text), "") if line.endswith(":") else ""
            return shortened(f"{line} {text}".strip(), _SHOWN)
    for number, line in enumerate((header, *rest)):
        beginning = line[:_LOOKED_AT]
        almost = _ALMOST_BREAKING_HEADER.fullmatch(beginning)
        if _ALMOST_BREAKING_LINE.fullmatch(beginning) or (almost is not None and (number == 0 or almost["listed"])):
            return f"taken as breaking because of {shortened(line.strip(), _SHOWN)!r}"
    return None


def reverted(message: str) -> list[Reverted]:
    """What a message says to revert: in git's sentence, or as `Refs:` of a `revert:`; else in a forge's sentence."""
    if "revert" not in message.lower():
        return []
    found = [Reverted(match["id"], match["mainline"]) for match in _GIT_REVERT.finditer(message)]
    parsed = parse_message(message)
    if parsed is not None and parsed.type == "revert":
        refs = (value for token, value in parsed.footers if token.lower() == "refs")
        found += [Reverted(revision) for value in refs for revision in _REVISION.findall(value)]
    if not found and calls_itself_revert(message):
        found = [Reverted("", pull=match["number"]) for match in _PULL_REVERT.finditer(message)]
    return found


def calls_itself_revert(message: str) -> bool:
    """By its type, or by the subject that git and forges give a revert."""
    subject = message.strip().partition("\n")[0].rstrip()
    return type_of(message) == "revert" or _REVERT_SUBJECT.fullmatch(subject) is not None


def release_as(message: str) -> str | None:
    """What the trailer `Release-As:` of a message says (as release-please has it), of several the first; None without.

    Trailers are in the last paragraph, or in several if these hold nothing else: GitHub adds a paragraph of co-authors.
    """
    if "release-as" not in message.lower():
        return None
    found = here = None
    for line in reversed(_lines(message)[1:]):
        if not line:
            found, here = here or found, None
        elif match := _RELEASE_AS.fullmatch(line):
            here = match[1]
        elif not _TRAILER.fullmatch(line):
            break
    return found


def _lines(message: str) -> list[str]:
    return [line.rstrip() for line in message.replace("\r\n", "\n").strip().split("\n")]


def _body_and_footers(lines: list[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Footers begin with the first footer line after a blank line; a value lasts until the next one."""
    start = next((i for i in range(1, len(lines)) if not lines[i - 1] and _FOOTER.fullmatch(lines[i])), None)
    if start is None:
        return "\n".join(lines).strip(), ()
    footers: list[tuple[str, str]] = []
    for line in lines[start:]:
        if match := _FOOTER.fullmatch(line):
            footers.append((match["breaking"] or match["token"], match["value"]))
        else:
            token, value = footers[-1]
            footers[-1] = (token, f"{value}\n{line}")
    return "\n".join(lines[:start]).strip(), tuple((token, value.strip()) for token, value in footers)

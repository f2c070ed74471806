"""A changelog that keeps what stands in it: each version's notes go below its heading, above the versions before."""

from __future__ import annotations

import re
from typing import NamedTuple

_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_COMMENT = re.compile(r" {0,3}<!--")
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,3}) +(?P<text>.*)")
_UNDERLINE = re.compile(r" {0,3}(?:-{3,}|={3,})\s*$")
_UNRELEASED = re.compile(r"\W*unreleased\b", re.IGNORECASE)
_VERSION = re.compile(r"(?<!\d)\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_VERSION_ALONE = re.compile(rf"\[?v?{_VERSION.pattern}\]?(?:\(\S*\))?(?:\W*{_DATE.pattern}\W*)?")
_REFERENCE = re.compile(r" {0,3}\[[^\]]+\]:\s")
_LONGEST = 500
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class _Title(NamedTuple):
    """A heading of level 1 to 3, and the number of its line."""

    line: int
    level: int
    text: str


def with_notes(text: str, version: str, date: str, notes: str) -> str | None:
    """The changelog with the notes of a version; None if it has that version already.

    `text`: "" for a new one. `date`: YYYY-MM-DD. `notes`: Markdown, whose headings are of level 3. The heading is
    written as the file's others are (`## [1.2.0] - 2026-11-26`, `## v1.2.0 (2026-11-26)`). What stands under an
    "Unreleased" stays there.
    """
    if not text.strip("\ufeff \t\r\n"):
        text = f"{text[:1].strip()}# Changelog\n"
    lines = _LINE.findall(text)
    titles = _titles([line.rstrip("\r\n") for line in lines])
    if any(version in _VERSION.findall(title.text) for title in titles):
        return None
    titles = [title for title in titles if not _UNRELEASED.match(title.text)]
    versions = [title for title in titles if _VERSION.search(title.text)]
    level = 1 if versions and all(title.level == 1 for title in versions) else 2
    entry = [f"{'#' * level} {_heading(version, date, [title.text for title in versions])}", "", *notes.split("\n")]
    if first := next(iter(versions or titles), None):
        # A heading of level 2 may group those of level 3.
        place = first.line if first.level < 3 else min(title.line for title in titles if title.level > 1)
        entry = [*entry, ""]
    else:
        place = len(lines)
        while place and (not lines[place - 1].strip() or _REFERENCE.match(lines[place - 1])):
            place -= 1
        entry = ["", *entry]
    end = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    if place and not lines[place - 1].endswith("\n"):
        lines[place - 1] += end
    return "".join([*lines[:place], *(f"{line}{end}" for line in entry), *lines[place:]])


def _titles(lines: list[str]) -> list[_Title]:
    """Headings of level 2, and those of levels 1 and 3 that are a version alone, as semantic-release and
    standard-version write them; none in code or comments."""
    found: list[_Title] = []
    fence, comment = "", False
    for number, line in enumerate(lines):
        if comment or (not fence and _COMMENT.match(line)):
            comment = "-->" not in line
        elif mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence):
                fence = ""
        elif not fence:
            if heading := _HEADING.match(line):
                found.append(_Title(number, len(heading["marks"]), heading["text"].rstrip().rstrip("#").rstrip()))
            elif number and _UNDERLINE.match(line) and _VERSION.search(lines[number - 1]):
                found.append(_Title(number - 1, 1 if "=" in line else 2, lines[number - 1].strip()))
    return [title for title in found if title.level == 2 or _VERSION_ALONE.fullmatch(title.text[:_LONGEST])]


def _heading(version: str, date: str, others: list[str]) -> str:
    newest = next((heading for heading in others if _VERSION.search(heading)), "")
    if not newest or "://" in newest:
        return f"{version} - {date}"
    return _DATE.sub(date, _VERSION.sub(version, newest, count=1))

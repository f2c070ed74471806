"""A changelog that keeps what stands in it: each version's notes go below its heading, above the versions before."""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HEADING = re.compile(r" {0,3}## +(?P<text>.*)")
_UNDERLINE = re.compile(r" {0,3}-{3,}\s*$")
_UNRELEASED = re.compile(r"\W*unreleased\b", re.IGNORECASE)
_VERSION = re.compile(r"(?<!\d)\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_REFERENCE = re.compile(r" {0,3}\[[^\]]+\]:\s")


def with_notes(text: str, version: str, date: str, notes: str) -> str | None:
    """The changelog with the notes of a version; None if it has that version already.

    `text`: "" for a new one. `date`: YYYY-MM-DD. `notes`: Markdown, whose headings are of level 3. The heading is
    written as the file's others are (`## [1.2.0] - 2026-11-26`, `## v1.2.0 (2026-11-26)`). What stands under an
    "Unreleased" stays there.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    headings = _headings(lines)
    if any(version in _VERSION.findall(heading) for _, heading in headings):
        return None
    released = [(line, heading) for line, heading in headings if not _UNRELEASED.match(heading)]
    entry = [f"## {_heading(version, date, [heading for _, heading in released])}", "", *notes.split("\n"), ""]
    if not text.strip():
        lines, place = ["# Changelog", ""], 2
    elif released:
        place = released[0][0]
    else:
        place = len(lines)
        while place and (not lines[place - 1].strip() or _REFERENCE.match(lines[place - 1])):
            place -= 1
        entry = ["", *entry[:-1]]
    written = "\n".join([*lines[:place], *entry, *lines[place:]])
    written = f"{written.rstrip()}\n"
    return written.replace("\n", "\r\n") if "\r\n" in text else written


def _headings(lines: list[str]) -> list[tuple[int, str]]:
    """Headings of level 2, each with its line's number; none of those inside of code."""
    found: list[tuple[int, str]] = []
    fence = ""
    for number, line in enumerate(lines):
        if mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence):
                fence = ""
        elif not fence:
            if heading := _HEADING.match(line):
                found.append((number, heading["text"].rstrip().rstrip("#").rstrip()))
            elif number and _UNDERLINE.match(line) and _VERSION.search(lines[number - 1]):
                found.append((number - 1, lines[number - 1].strip()))
    return found


def _heading(version: str, date: str, others: list[str]) -> str:
    newest = next((heading for heading in others if _VERSION.search(heading)), "")
    if not newest or "://" in newest:
        return f"{version} - {date}"
    return _DATE.sub(date, _VERSION.sub(version, newest, count=1))

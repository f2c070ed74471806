"""Pull requests in commit messages, as GitHub, GitLab and Gitea write them."""

from __future__ import annotations

import re
from typing import NamedTuple

_SQUASHED = re.compile(r"(?<!\s)\s*\((?:#|!)(?P<number>\d{1,9})\)$")
_MERGED = (
    re.compile(r"Merge pull request #(?P<number>\d{1,9}) from .*"),
    re.compile(r"Merge pull request '(?P<title>.*)' \([#!](?P<number>\d{1,9})\) from .*"),
)
_MERGED_ON_GITLAB = re.compile(r"^See merge request (?:\S{0,200})!(?P<number>\d{1,9})\r?$", re.MULTILINE)


class Merged(NamedTuple):
    """A pull request that a commit merges. `title`: "" if the message does not tell it."""

    number: str
    title: str


def merged(message: str) -> Merged | None:
    """The pull request whose merge this is."""
    subject, _, body = message.strip().partition("\n")
    first = next((line.strip() for line in body.split("\n") if line.strip()), "")
    for pattern in _MERGED:
        if found := pattern.fullmatch(subject.rstrip()):
            return Merged(found["number"], found.groupdict().get("title") or first)
    if subject.startswith("Merge branch ") and (found := _MERGED_ON_GITLAB.search(body)):
        return Merged(found["number"], "" if first.startswith("See merge request") else first)
    return None


def squashed(subject: str) -> tuple[str, str | None]:
    """A subject without the number of the pull request that was squashed, and the number."""
    found = _SQUASHED.search(subject)
    return (subject, None) if found is None else (subject[: found.start()], found["number"])

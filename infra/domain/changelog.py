"""The commit that brings a version's notes into the changelog: it is no reason for a release of its own."""

from __future__ import annotations

import re

_MARK = "Slipway-Changelog"
_MARKED = re.compile(rf"^{_MARK}: \S+\s*\Z", re.MULTILINE)
# What CI systems take for "do not run": docs.github.com, "Skipping workflow runs"; docs.gitlab.com, "Skip a pipeline".
_SKIPS = re.compile(r"\[(?:skip[ -](?:ci|actions)|(?:ci|actions)[ -]skip|no ci)\]", re.IGNORECASE)


def changelog_commit(tag: str) -> str:
    """The message of such a commit."""
    return f"chore(release): changelog of {tag} [skip ci]\n\n{_MARK}: {tag}\n"


def is_changelog_commit(message: str) -> bool:
    return message.startswith("chore(release): changelog of ") and _MARKED.search(message) is not None


def skips_ci(message: str) -> bool:
    """Whether a commit asks CI to leave it alone."""
    return _SKIPS.search(message) is not None

"""Release notes as a release hands them on."""

from __future__ import annotations

from dataclasses import dataclass

MAX_CHARACTERS = 60_000
"""Of notes: less than forges take as the text of a release (GitHub: 125,000) and of a pull request (65,536)."""

NOTES_ARTIFACT, NOTES_MEDIA = "application/vnd.slipway.release-notes.v1", "text/markdown"
"""The artifact type of notes that refer to an image, and the media type of its one layer."""


@dataclass(frozen=True, slots=True)
class ReleaseNotes:
    """What is new in a version, without a heading of its own. At most 60,000 characters each.

    `markdown`: no commit can put HTML, pictures or links of its own into it. `text`:
    the same for a terminal or a tag's message. `previous`: the version that the changes come after, None for the first.
    """

    version: str
    previous: str | None
    markdown: str
    text: str


@dataclass(frozen=True, slots=True)
class PlannedChangelog:
    """Where the notes are committed. `path`: from the repository's root. `ref`: the branch, `HEAD` for the repository's
    default one, "" if the source is on none."""

    path: str
    ref: str

"""Limits for trees from others: larger ones are treated as bombs, or no tool could handle their paths."""

from __future__ import annotations

import os
from dataclasses import dataclass

MOST_LEVELS = 256
NAME_MAX = 255  # bytes of a file's name, limits.h
# PATH_MAX is 4096 (limits.h), with the folder that a source is put in and the NUL.
LONGEST_PATH = 3072


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """`total_bytes`: of an archive, and of all files in it together. `entries`: files, folders and links.
    `names_bytes`: of what folders and links are called and lead to, which is kept in memory.
    """

    total_bytes: int = 16 << 30
    entries: int = 1_000_000
    names_bytes: int = 64 << 20


def unusable(path: str) -> str | None:
    """What is wrong with a path from the top of a source, in words that follow "holds"; None if nothing is."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        return f"a name that this file system cannot store: {shortened(path)}"
    parts = encoded.split(b"/")
    if len(parts) > MOST_LEVELS:
        return f"folders nested more than {MOST_LEVELS} deep: {shortened(path)}"
    if max(map(len, parts)) > NAME_MAX:
        return f"a name of more than {NAME_MAX} bytes: {shortened(path)}"
    if len(encoded) > LONGEST_PATH:
        return f"a path of more than {LONGEST_PATH} bytes: {shortened(path)}"
    return None


def shortened(path: str) -> str:
    """A path for a message: its beginning, without what a terminal would act on."""
    return repr(path if len(path) <= 60 else path[:60] + "…")

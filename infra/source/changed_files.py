"""Commits with the files that each of them changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prefect_slipway.infra.domain.changelog import is_changelog_commit
from prefect_slipway.infra.domain.commits import Commit
from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.command import Remote

# Of a merge what differs from any of its parents, as git counts when it is asked for the history of a path; of a file
# that was moved both places. NUL goes before each commit: no file's name is empty.
_LOG = (
    *("log", "--topo-order", "-m", "--name-only", "--no-renames", "--no-color", "--no-notes", "--no-show-signature"),
    *("--ignore-submodules=none", "--no-ext-diff", "--no-relative", "-z", "--format=%x00%H%n%aN%n%B", "--stdin"),
)


class ChangedFiles(NamedTuple):
    """`files`: relative to the repository's top."""

    commit: Commit
    files: tuple[str, ...]


async def changed_files(
    repository: Path, span: Sequence[str], remote: Remote | None, *, saying: Sequence[str] = ()
) -> list[ChangedFiles]:
    """The commits of a span (revisions as of git-rev-list(1)), each before its parents, by one run of git; not
    those that only bring notes into a changelog. `saying`: only those whose message holds one of these words. Raises
    SourceErrors."""
    named = "".join(f"{each}\n" for each in span)
    words = (*("--fixed-strings", "--regexp-ignore-case"), *(f"--grep={word}" for word in saying)) if saying else ()
    listed = await run_git(str(repository), *_LOG, *words, cwd=repository, remote=remote, stdin=named)
    # What is not UTF-8 could be neither shown nor stored.
    entries = os.fsencode(listed).decode(errors="replace").split("\0\0")
    found: dict[str, tuple[Commit, dict[str, None]]] = {}
    for entry in entries:
        header, _, names = entry.removeprefix("\0").partition("\0")
        if header:
            revision, author, message = header.split("\n", 2)
            if is_changelog_commit(message):
                continue
            # A merge is listed once for each parent.
            _, files = found.setdefault(revision, (Commit(revision, message, author), {}))
            files.update(dict.fromkeys(name for name in names.removeprefix("\n").split("\0") if name))
    return [ChangedFiles(commit, tuple(files)) for commit, files in found.values()]

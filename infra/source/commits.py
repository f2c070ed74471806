"""Commits written without a work tree: nothing is checked out, so that no link, filter or hook of the repository's can
do anything, and the bytes are those of the repository."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.command import AS_STORED, Remote

# The user's settings could have git put a part of an index into the repository.
_WHOLE_INDEX = ("-c", "core.splitIndex=false")

SignCommit = Callable[[bytes], Awaitable[str]]
"""The armored signature of a commit's text (git's header `gpgsig`)."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit changes: files by their path, whole. `message`: with its subject, and a line break at its end."""

    files: Mapping[str, str]
    message: str


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits, and with what it is signed. An address that nobody has, as no person wrote it."""

    name: str = "Slipway"
    email: str = "slipway@invalid"
    sign: SignCommit | None = field(default=None, repr=False)

    @property
    def now(self) -> str:
        """As git's objects name an author, and when."""
        return f"{self.name} <{self.email}> {int(time.time())} +0000"


SLIPWAY = Author()


class Entry(NamedTuple):
    """What a tree has under a name."""

    mode: str
    kind: str
    id: str

    @property
    def is_file(self) -> bool:
        """No symbolic links: git follows none, and what they name may be anything."""
        return self.mode in {"100644", "100755"}


def entries(listed: str) -> dict[str, Entry]:
    """By path, from what `git ls-tree -z` prints."""
    rows = (line.partition("\t") for line in listed.split("\0") if line)
    return {name: Entry(*facts.split(" ")) for facts, _, name in rows}


def places(name: str) -> list[str]:
    """The path of a file, and those of the folders that it is in: what `git ls-tree` is asked for."""
    return [name, *(str(folder) for folder in PurePosixPath(name).parents if folder.name)]


def file_at(there: Mapping[str, Entry], name: str) -> Entry | None:
    """The file of that name, None if there is none yet. `there`: at its `places`. Raises SourceError for a path that
    cannot be a file's."""
    path, *folders = places(name)
    if any(folder in there and there[folder].kind != "tree" for folder in folders):
        raise SourceError(f"{name} leads through something that is not a folder")
    file = there.get(path)
    if file is not None and not file.is_file:
        raise SourceError(f"{name} leads through something that is not a file")
    return file


async def commit_files(
    repository: Path, parent: str, change: Commit, author: Author = SLIPWAY, *, remote: Remote | None = None
) -> str:
    """Store a commit on top of `parent` and return its id. Nothing refers to it yet. Files keep their modes, and other
    files stay as they are. `remote`: of a repository that has a part of the objects. Raises SourceErrors."""
    with tempfile.TemporaryDirectory(prefix="slipway-index-") as folder:
        index = Path(folder, "index")
        git = partial(run_git, str(repository), AS_STORED, cwd=repository, remote=remote, index=index)
        named = dict.fromkeys(place for name in change.files for place in places(name))
        there = entries(await git("ls-tree", "-z", parent, "--", *named))
        lines = []
        for name, text in change.files.items():
            blob = (await git("hash-object", "-w", "--stdin", stdin=text)).strip()
            old = file_at(there, name)
            lines.append(f"{old.mode if old is not None else '100644'} {blob}\t{name}\0")
        await git(*_WHOLE_INDEX, "read-tree", parent)
        await git(*_WHOLE_INDEX, "update-index", "-z", "--add", "--index-info", stdin="".join(lines))
        tree = (await git("write-tree", "--missing-ok")).strip()
    return await store_commit(repository, change.message, tree=tree, parent=parent, author=author)


async def store_commit(
    repository: Path, message: str, *, tree: str | None = None, parent: str | None = None, author: Author = SLIPWAY
) -> str:
    """Store a commit and return its id. Nothing refers to it yet. `tree`: None for one without files. Raises
    SourceErrors."""
    store = partial(run_git, str(repository), "hash-object", "-w", "--stdin", "-t", cwd=repository)
    tree = tree or (await store("tree")).strip()
    who = author.now
    lines = [f"tree {tree}", *([f"parent {parent}"] if parent is not None else []), f"author {who}", f"committer {who}"]
    head, body = "".join(f"{line}\n" for line in lines), f"\n{message}"
    if author.sign is not None:
        signature = (await author.sign(os.fsencode(head + body))).rstrip("\n").replace("\n", "\n ")
        head += f"gpgsig {signature}\n"
    return (await store("commit", stdin=head + body)).strip()

"""The kind of source that a text describes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.urls import check_address, shown
from prefect_slipway.infra.source.archive_url import check_checksum, is_archive
from prefect_slipway.infra.source.url import GitUrl, check_no_user, check_ref, check_subdirectory, split_url


@dataclass(frozen=True, slots=True)
class DirectorySpec:
    """A directory on this machine, as it is."""

    path: Path


@dataclass(frozen=True, slots=True)
class GitSpec:
    """A revision of a git repository. `ref`: None for the default branch."""

    url: str
    ref: str | None
    subdirectory: str


@dataclass(frozen=True, slots=True)
class ArchiveSpec:
    """An archive. `checksum`: `sha256:HEX`."""

    url: str
    checksum: str
    subdirectory: str


SourceSpec = DirectorySpec | GitSpec | ArchiveSpec


def parse_source(text: str, *, ref: str | None = None, path: str = "", checksum: str | None = None) -> SourceSpec:
    """Read the source that a user gave, or that Vault contains. Raises InvalidOption.

    - with a `checksum`, or ending like an archive (`.tar.gz`, `.zip` ...) and without a `ref`: an archive;
    - a path on this machine, without a `ref` and not ending in `.git`: a directory;
    - everything else: a git repository. Its URL may end in `#REF` or `#REF:DIRECTORY`, as docker build has it.

    `path`: the directory inside the source that holds the build context.
    """
    if not text:
        raise InvalidOption("no source is given", action="use a directory, a git URL or an archive URL")
    if ref is not None and checksum is not None:
        raise InvalidOption("a ref belongs to git and a checksum to an archive", action="remove --ref or --checksum")
    is_url = "://" in text or (re.match(r"[^/]+@[^/]+:", text) is not None and not Path(text).exists())
    url, hash_, fragment = text.partition("#") if is_url else (text, "", "")
    location = unquote(split_url(url).path) if "://" in url else url
    as_archive = is_archive(location) and ref is None and not hash_ and not url.startswith(("git+", "ssh://"))
    if checksum is not None or (as_archive and (is_url or Path(text).is_file())):
        return _archive(url if is_url else Path(text).resolve().as_uri(), path, checksum)
    if not is_url and ref is None and not text.rstrip("/").endswith(".git"):
        return DirectorySpec(Path(text) / check_subdirectory(path))
    if hash_:
        in_url, _, directory = fragment.partition(":")
        if (in_url and ref) or (directory and path):
            raise InvalidOption(
                f"{shown(url)}: the ref or directory is in the URL and in an option", action="use only one of them"
            )
        ref, path = ref or in_url or None, path or directory
    GitUrl.parse(url)
    if "://" in url:
        check_no_user(url)
        # git's helpers and a repository's configuration show all of it.
        check_address("the git repository's URL", url)
    return GitSpec(url, check_ref(ref) if ref is not None else None, check_subdirectory(path))


def _archive(url: str, path: str, checksum: str | None) -> ArchiveSpec:
    check_no_user(url)
    return ArchiveSpec(url, check_checksum(checksum, shown(url)), check_subdirectory(path))

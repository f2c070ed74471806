"""Where releases come from: directories, git repositories and archives; git as the keeper of versions."""

from infra.source.archive import fetch_archive
from infra.source.checkout import Checkout
from infra.source.directory import open_directory
from infra.source.git import fetch_git
from infra.source.history import History, Series, tags
from infra.source.ledger import GitLedger
from infra.source.resolve import ArchiveSpec, DirectorySpec, GitSpec, SourceSpec, parse_source

__all__ = [
    "ArchiveSpec",
    "Checkout",
    "DirectorySpec",
    "GitLedger",
    "GitSpec",
    "History",
    "Series",
    "SourceSpec",
    "fetch_archive",
    "fetch_git",
    "open_directory",
    "parse_source",
    "tags",
]

"""Sources of releases: directories, git repositories and archives; and git as the store of versions.

`archive` stands for itself, because it brings the HTTP client, which few sources need.
"""

from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from prefect_slipway.infra.source.history import History, Series, tags
from prefect_slipway.infra.source.ledger import GitLedger
from prefect_slipway.infra.source.resolve import ArchiveSpec, DirectorySpec, GitSpec, SourceSpec, parse_source

__all__ = [
    "ArchiveSpec",
    "Checkout",
    "DirectorySpec",
    "GitLedger",
    "GitSpec",
    "History",
    "Series",
    "SourceSpec",
    "fetch_git",
    "open_directory",
    "parse_source",
    "tags",
]

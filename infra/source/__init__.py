"""Where releases come from: directories, git repositories and archives; git as the keeper of versions."""

from infra.source.checkout import Checkout
from infra.source.directory import open_directory
from infra.source.git import fetch_git
from infra.source.history import commits_since, tags
from infra.source.ledger import GitLedger

__all__ = ["Checkout", "GitLedger", "commits_since", "fetch_git", "open_directory", "tags"]

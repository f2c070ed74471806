"""Read values from a payload and check the type, form and length of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeGuard

from prefect_slipway.flows.relay.refusal import malformed
from prefect_slipway.infra.domain.changelog import skips_ci
from prefect_slipway.infra.domain.urls import holds_secret

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# `.` and `..` lead elsewhere: no forge gives such a name.
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._~+-]+"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
# git-check-ref-format(1): what a ref's name cannot hold.
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.$")
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")
# What can be fetched from elsewhere; above all no `ext::` and no path of this machine.
_URL = re.compile(r"(?:https?|ssh|git)://[^\s\x00-\x1f\x7f-]\S*|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:\S+")


def text(document: Any, *path: str, limit: int = 1024) -> str:
    """An optional text; empty if it is missing."""
    value = _inner(document, path)
    if value is None:
        return ""
    if not _is_text(value) or len(value) > limit or any(ord(letter) < 32 for letter in value):
        raise malformed(f"{'.'.join(path)} is not a line of text of at most {limit} characters")
    return value


def repository(document: Any, *path: str) -> str:
    value = text(document, *path, limit=255)
    if not _REPOSITORY.fullmatch(value):
        raise malformed(f"{'.'.join(path)} is not a repository's path")
    return value


def url(document: Any, *path: str) -> str:
    """An optional address to fetch or open."""
    value = text(document, *path)
    if value and not _URL.fullmatch(value):
        raise malformed(f"{'.'.join(path)} is not an address")
    if holds_secret(value):
        # It would be recorded with the event and in the run's parameters.
        raise malformed(f"{'.'.join(path)} contains a user name, a password or a token")
    return value


def ref(document: Any) -> str:
    value = text(document, "ref")
    if not value.startswith("refs/") or _NO_REF.search(value):
        raise malformed("ref is not a full git ref")
    return value


def commit(document: Any, *path: str) -> str | None:
    """A full commit id; None for the all-zero one, which forges send for "nothing"."""
    value = text(document, *path)
    if not _COMMIT.fullmatch(value):
        raise malformed(f"{'.'.join(path)} is not a full commit id")
    return value if value.strip("0") else None


def commit_of_tag(document: Any, pushed: str | None, *path: str) -> str | None:
    """The commit of the pushed ref: an annotated tag is a separate object with its own id."""
    named = pushed is not None and document.get("ref", "").startswith("refs/tags/") and text(document, *path)
    return commit(document, *path) if named else pushed


def number(document: Any, *path: str) -> int | None:
    value = _inner(document, path)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise malformed(f"{'.'.join(path)} is not a number")
    return value


def changed_paths(document: Any, *, total: int | None = None, most: int | None = None) -> tuple[str, ...] | None:
    """All paths in the commits' lists of added, modified and removed files, in order.

    None if they may not be all: the forge counts more commits (`total`) than it sends, or sends as many as it ever does
    (`most`).
    """
    commits = document.get("commits") or []
    if not isinstance(commits, list):
        raise malformed("commits is not a list")
    if not commits or (total is not None and total > len(commits)) or (most is not None and len(commits) >= most):
        return None
    found: dict[str, None] = {}
    for entry in commits:
        for change in ("added", "modified", "removed"):
            found.update(dict.fromkeys(paths(entry, change) or ()))
    return tuple(found)


def skipped(document: Any, pushed: str | None) -> bool:
    """Whether the pushed commit of a branch asks CI to leave it alone."""
    if not document.get("ref", "").startswith("refs/heads/"):
        return False
    commits = document.get("commits")
    entries = [document.get("head_commit"), *(commits if isinstance(commits, list) else ())]
    messages = [each.get("message") for each in entries if isinstance(each, dict) and each.get("id") == pushed]
    return any(isinstance(message, str) and skips_ci(message) for message in messages)


def paths(document: Any, name: str) -> Sequence[str] | None:
    """A list of paths; None if it is missing."""
    value = _inner(document, (name,))
    if value is None:
        return None
    if not isinstance(value, list) or not all(_is_text(path) for path in value):
        raise malformed(f"{name} is not a list of paths")
    return tuple(value)


def _is_text(value: Any) -> TypeGuard[str]:
    """Whether it is text that can be passed on: JSON may hold half a surrogate pair, which no encoding has, and NUL,
    which no database takes."""
    return isinstance(value, str) and not _NO_TEXT.search(value)


def _inner(document: Any, path: Sequence[str]) -> Any:
    value = document
    for key in path:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise malformed(f"{'.'.join(path)} is missing or has the wrong type")
        value = value.get(key)
    return value

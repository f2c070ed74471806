"""A push, independent of the forge whose webhook reported it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

RESERVATIONS = "refs/slipway/"
"""Where releases reserve their versions; a push there never starts anything."""

# What an event carries at most: Prefect refuses events of more than 1.5 MB (PREFECT_EVENTS_MAXIMUM_SIZE_BYTES).
_PATHS_IN_EVENT = 500

_BRANCH, _TAG = "refs/heads/", "refs/tags/"
_NUMBER = r"(?:0|[1-9][0-9]*)"
_VERSION_AT_END = re.compile(rf"(?:.*[^0-9.])?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Push:
    """One ref of one repository that moved.

    `delivery`: the forge's name for this message. `repository`: its path on the forge, `team/app`. `before`, `commit`:
    full commit ids, None where there was none (a new ref) or is none any more (a deleted one). `paths`: of all files
    that the pushed commits touch; None if the forge did not tell all of them. `skipped`: the newest commit of a branch
    asks CI to leave it alone (`[skip ci]`), as that of a changelog does.
    """

    forge: str
    delivery: str
    repository: str
    ref: str
    before: str | None
    commit: str | None
    web_url: str = ""
    clone_url: str = ""
    ssh_url: str = ""
    pusher: str = ""
    paths: tuple[str, ...] | None = None
    skipped: bool = False

    @property
    def branch(self) -> str | None:
        return self.ref.removeprefix(_BRANCH) if self.ref.startswith(_BRANCH) else None

    @property
    def tag(self) -> str | None:
        return self.ref.removeprefix(_TAG) if self.ref.startswith(_TAG) else None

    @property
    def deleted(self) -> bool:
        return self.commit is None

    @property
    def is_version_tag(self) -> bool:
        """Whether the tag ends in a semantic version, like the tags of releases."""
        return self.tag is not None and _VERSION_AT_END.fullmatch(self.tag) is not None

    @property
    def kind(self) -> str:
        """`branch`, `skipped`, `tag`, `version-tag` or `other`: a label of the event, for automations to match."""
        if self.branch is not None:
            return "skipped" if self.skipped else "branch"
        if self.tag is not None:
            return "version-tag" if self.is_version_tag else "tag"
        return "other"

    def key(self, *more: str) -> str:
        """The same for the same move of the same ref, independent of the sender and the delivery id."""
        parts = [self.repository, self.clone_url, self.ref, self.before, self.commit, *more]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def as_payload(self) -> dict[str, Any]:
        """The event's payload: plain values. `paths` are the first 500; `all_paths` says whether that is all."""
        paths = self.paths or ()
        return {
            "forge": self.forge,
            "delivery": self.delivery,
            "repository": self.repository,
            "web_url": self.web_url,
            "clone_url": self.clone_url,
            "ssh_url": self.ssh_url,
            "ref": self.ref,
            "kind": self.kind,
            "branch": self.branch,
            "tag": self.tag,
            "before": self.before,
            "commit": self.commit,
            "deleted": self.deleted,
            "pusher": self.pusher,
            "paths": list(paths[:_PATHS_IN_EVENT]),
            "all_paths": self.paths is not None and len(paths) <= _PATHS_IN_EVENT,
        }

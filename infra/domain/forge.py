"""The pages of a git forge about a repository: commits, pull requests, issues, and what lies between two revisions.

Which forge a server runs is told by its host's name alone; GitLab's pages stand below `/-/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_KINDS = {"gitlab": "gitlab", "github": "github", "gitea": "gitea", "forgejo": "gitea", "codeberg": "gitea"}
_PULLS = {"gitlab": "merge_requests", "github": "pull", "gitea": "pulls"}
_KNOWN = re.compile(rf"(?:^|\.)({'|'.join(_KINDS)})\.")
_SCP_LIKE = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!/)(.+)")


@dataclass(frozen=True, slots=True)
class Forge:
    """`kind`: github, gitlab or gitea (Forgejo, too); `web`: the repository's page, without a slash at its end."""

    kind: str
    web: str

    @classmethod
    def of(cls, url: str | None) -> Forge | None:
        """The forge of a repository's address; None if the host's name does not tell the kind."""
        if url is None:
            return None
        host, path = host_and_path(url)
        kind = kind_of_host(host)
        return cls(kind, f"https://{host}/{quote(path, safe='/~')}") if kind and path else None

    def commit(self, revision: str) -> str:
        return f"{self._pages}/commit/{revision}"

    def pull(self, number: str) -> str:
        """A pull request's page; GitLab calls it a merge request."""
        return f"{self._pages}/{_PULLS[self.kind]}/{number}"

    def issue(self, number: str) -> str:
        return f"{self._pages}/issues/{number}"

    def compare(self, start: str, end: str) -> str:
        return f"{self._pages}/compare/{quote(start, safe='')}...{quote(end, safe='')}"

    @property
    def _pages(self) -> str:
        return f"{self.web}/-" if self.kind == "gitlab" else self.web


def kind_of_host(host: str) -> str | None:
    """github, gitlab or gitea; None if the host's name does not tell."""
    found = _KNOWN.search(host)
    return _KINDS[found[1]] if found else None


def host_and_path(url: str) -> tuple[str, str]:
    """Of a repository's address: the host, with the port of a page, and the repository's path."""
    if "://" not in url and (match := _SCP_LIKE.fullmatch(url)):
        return match[1].lower(), _repository(match[2])
    parts = urlsplit(url)
    # The port of an https page is part of its address, that of ssh is not.
    port = f":{parts.port}" if parts.port and parts.scheme in {"http", "https"} else ""
    return f"{(parts.hostname or '').lower()}{port}", _repository(parts.path)


def _repository(path: str) -> str:
    return path.strip("/").removesuffix(".git")

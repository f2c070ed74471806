"""Where a forge serves its API, and which part of a text there is Slipway's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from prefect_slipway.infra.domain.errors.usage import InvalidOption
from prefect_slipway.infra.domain.forge import host_and_path, kind_of_host
from prefect_slipway.infra.domain.reference import is_loopback

# Where each serves its API; GitHub Enterprise Server below /api/v3.
_APIS = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}
# GitLab nests groups. `.` and `..` would lead elsewhere.
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._~+-]+"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})+")

_BEGIN, _END = "<!-- slipway:begin -->", "<!-- slipway:end -->"
_MARK = re.compile(r"<!--(?=\s*slipway)")


@dataclass(frozen=True, slots=True)
class ForgePlace:
    """A repository on a forge. `kind`: `github`, `gitlab` or `gitea`, which is Forgejo as well; `api`: the URL of its
    REST API; `repository`: OWNER/NAME, with all groups."""

    kind: str
    api: str
    repository: str

    def __str__(self) -> str:
        return f"{self.repository} on {urlsplit(self.api).netloc}"

    @classmethod
    def of(cls, kind: str | None, api: str | None, repository: str | None, source: str | None) -> ForgePlace:
        """What is given, and the rest from the address of the source. Raises InvalidOption."""
        host, path = host_and_path(source) if source is not None else ("", "")
        kind = kind or (_kind_of_api(api) if api is not None else kind_of_host(host))
        if kind is None:
            raise InvalidOption(
                f"the kind of forge cannot be told from {api or source or 'a source without a remote'!r}",
                action="choose it with --forge github, gitlab or gitea (for Forgejo, too)",
            )
        if api is None:
            if not host:
                raise InvalidOption(
                    "the source has no remote that names the forge", action="pass the forge's API with --forge-url"
                )
            api = (
                "https://api.github.com" if (kind, host) == ("github", "github.com") else f"https://{host}{_APIS[kind]}"
            )
        parts = urlsplit(api)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.netloc)):
            raise InvalidOption(
                f"the forge's API {api!r} is not an https:// address, and a token is sent there",
                action="use https:// with --forge-url",
            )
        repository = repository or path
        if _REPOSITORY.fullmatch(repository) is None or (kind != "gitlab" and repository.count("/") > 1):
            raise InvalidOption(
                f"{repository!r} is not a repository of a forge", action="use OWNER/NAME with --forge-repository"
            )
        return cls(kind, api.rstrip("/"), repository)


def marked(text: str) -> str:
    """Slipway's part of a text, which others may quote in it but not end."""
    return f"{_BEGIN}\n{_MARK.sub('<!-- -', text)}\n{_END}"


def with_ours(there: str, text: str, *, keep: bool = False) -> str:
    """A text on a forge with `text` as Slipway's part; what people wrote around it stays. `keep`: a part that is there
    stays, too."""
    there = there.replace("\r\n", "\n")
    before, begin, rest = there.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if begin and end:
        return there if keep else f"{before}{marked(text)}{after}"
    return f"{there.rstrip()}\n\n{marked(text)}" if there.strip() else marked(text)


def _kind_of_api(api: str) -> str | None:
    parts = urlsplit(api)
    if parts.hostname == "api.github.com":
        return "github"
    return next((kind for kind, path in _APIS.items() if parts.path.rstrip("/") == path), None)

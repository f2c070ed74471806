"""The address of a git repository, in those of git's forms that are harmless (git-fetch(1), "GIT URLS")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.urls import shown

_FORMS = "https://, http://, ssh://, git@HOST:PATH, file:// or a local path"
# `ext::sh -c ...` and the like name a program to run (gitremote-helpers(7)).
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCP = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>\[[^\]/]+\]|[^@/:]+):(?P<path>(?!//).+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class GitUrl:
    """`text`: what git is given, for http(s) without user information. `scheme`: https, http, ssh or file.

    `host`: with its port, lower case, empty for file. `embedded`: the user name and password that the URL
    carried.
    """

    text: str
    scheme: str
    host: str
    embedded: Credential | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, *, base: Path | None = None) -> GitUrl:
        """Read any form; a local path counts from `base`, None: from where we are. Raises InvalidOption."""
        if not text or text.startswith("-") or _CONTROL.search(text) or _HELPER.match(text):
            raise InvalidOption("that is not a git repository's address", action=f"use {_FORMS}")
        text = text.removeprefix("git+")
        if "://" in text:
            return cls._parse_url(text)
        if (match := _SCP.fullmatch(text)) and not Path(text).exists():
            if match["host"].startswith("-"):
                raise InvalidOption("a host name cannot start with a dash", action=f"use {_FORMS}")
            return cls(text, "ssh", match["host"].lower())
        return cls(str(((base or Path.cwd()) / text).resolve()), "file", "")

    @classmethod
    def _parse_url(cls, text: str) -> GitUrl:
        parts = split_url(text)
        host, port = parts.hostname or "", parts.port
        scheme = parts.scheme.lower()
        if scheme == "file" and host in {"", "localhost"}:
            return cls(f"file://{parts.path}", "file", "")
        if scheme not in {"https", "http", "ssh"} or not host or host.startswith("-"):
            raise InvalidOption(f"{shown(text)!r} is not a git repository's address", action=f"use {_FORMS}")
        netloc = parts.netloc.rpartition("@")[2].lower()
        if scheme == "ssh":
            return cls(text, "ssh", f"[{host}]" if ":" in host and port is None else netloc)
        embedded = None
        if parts.username or parts.password:
            embedded = Credential(unquote(parts.username or ""), unquote(parts.password or ""))
        # A port that is the scheme's own does not make another host.
        netloc = netloc.removesuffix(":443" if scheme == "https" else ":80")
        return cls(urlunsplit((scheme, netloc, parts.path, parts.query, "")), scheme, netloc, embedded)

    @property
    def shown(self) -> str:
        """For messages: the address without user information and query."""
        return shown(self.text) if "://" in self.text else self.text

    @property
    def label(self) -> str | None:
        """For an image's `source` label: a URL without user information, None for a place on this machine."""
        if self.scheme == "file":
            return None
        if "://" not in self.text and (match := _SCP.fullmatch(self.text)):
            return f"ssh://{match['host']}/{match['path'].lstrip('/')}"
        return self.shown

    @property
    def name(self) -> str:
        """The repository's own name: the path's last part without `.git`."""
        parts = re.split(r"[/:]", self.text.rstrip("/").removesuffix("/.git"))
        name = parts[-1].removesuffix(".git")
        return name if name not in {"", ".", ".."} else "source"


def split_url(url: str) -> SplitResult:
    """The URL's parts, of which host and port can be read; raises InvalidOption."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        # Without what is wrong: it may be a password with a slash in it.
        raise InvalidOption(f"{shown(url)!r} has no valid host or port") from None
    return parts


def check_no_user(url: str) -> None:
    """Raises InvalidOption for a URL that holds a user name or a password (of ssh: a password): what a source's URL
    holds would show wherever the URL does.
    """
    parts = split_url(url)
    if parts.password is not None or (parts.username is not None and "ssh" not in parts.scheme):
        raise InvalidOption(
            f"the URL {shown(url)} contains a user name or a password, which would show in logs",
            action="remove it, and keep the credential in Vault: --git-credentials vault:MOUNT/PATH",
        )


def check_ref(ref: str) -> str:
    """Give `ref` back if it may name a branch, tag or commit (git-check-ref-format(1)), or InvalidOption."""
    illegal = re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)", ref)
    if not ref or illegal or ref.startswith(("-", "+", "/", ".")) or ref.endswith(("/", ".")) or ref == "@":
        raise InvalidOption(f"{ref!r} is not a git ref", action="use a branch, a tag or a full commit id")
    return ref


def is_full_id(ref: str) -> bool:
    """Whether `ref` is a complete commit id (SHA-1 or SHA-256)."""
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", ref) is not None


def check_subdirectory(subdirectory: str) -> str:
    """The path below a source's root in normal form, "" for the root. Raises InvalidOption if it leads out."""
    parts = [part for part in subdirectory.split("/") if part not in {"", "."}]
    if subdirectory.startswith("/") or ".." in parts or "\x00" in subdirectory:
        raise InvalidOption(f"{subdirectory!r} is outside the source", action="use a path inside the source")
    return "/".join(parts)

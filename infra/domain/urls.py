"""Addresses that people type: which may contain a secret, and how to show them without it.

What is typed is recorded (a run's parameters, name, logs and events), so an address that may hold a secret is refused
before there is a run. A list of the harmless forms decides, not a list of the harmful ones: a password that is pasted
into a URL may contain any character, and then the URL parses as something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from prefect_slipway.infra.domain.errors.usage import InvalidOption
from prefect_slipway.infra.domain.text import is_encodable

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\\\[\]%]+)"
_DOTTED = r"(?:localhost|[^\s:/?#@\\\[\]%]+\.[^\s:/?#@\\\[\]%]+)"
_PORT = r"(?::[0-9]{1,5})?"
_PATH = r"(?:/[^\s@?#\\]*)?"
# An `@` only where it begins a part of the path, as npm's scopes do, and where no password can have come before it.
_SCOPED = r"(?:/@?[^\s@?#\\/]*)*"
# What selects a version or a format. Any other part of a query may be a token or a signature.
_HARMLESS = "at|branch|checksum|commit|dl|download|format|inline|path|prefix|raw|ref|sha|subdir|submodules|tag|version"
_PAIR = rf"(?:{_HARMLESS})=[^\s&#@]*"
_QUERY = rf"(?:\?(?:{_PAIR}(?:&{_PAIR})*)?)?"
_FRAGMENT = r"(?:#[^\s@=?&]*)?"
_USER = r"[A-Za-z0-9._-]{1,32}@"
_DIGEST = r"(?:@sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128}))?"

ADDRESS = (
    "(?:"
    rf"(?:git\+)?[A-Za-z][A-Za-z0-9.-]*://(?:{_DOTTED}{_SCOPED}|(?:{_HOST}{_PORT})?{_PATH}){_DIGEST}{_QUERY}{_FRAGMENT}"
    rf"|(?:git\+)?ssh://{_USER}{_HOST}{_PORT}{_PATH}{_FRAGMENT}"
    rf"|(?:{_USER})?{_HOST}:(?!//)[^\s@?]*"
    r"|(?:\.{1,2}|~|)/(?!/)[^\x00-\x1f\x7f]*"
    r"|[^\s:@?/\\][^\x00-\x1f\x7f:@?/\\]*(?:/[^\x00-\x1f\x7f:?\\]*)?"
    ")"
)
"""The forms in which an address cannot hold a secret, as a regular expression that JSON Schema reads as well: a URL
without user (but for ssh's) and with a harmless query, `[USER@]HOST:PATH`, a path."""

# A user or a password before a host (not a name before its digest). Of ssh a password alone: its user is not a secret.
_USER = (
    r"[Ss][Ss][Hh]://[^\s/?#@:]*:[^\s/?#@]*@"
    r"|(?:^|[^Hh]|[^Ss][Hh])://[^\s/?#@]*@(?!sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128}))"
)
# A password with `/`, `?` or `#` in it, which an `@` ends: what follows the colon is not a port.
_ODD_USER = r"://[^\s/?#@:]*:(?![0-9]{1,5}(?:[/?#\s]|$))"
# Parts of a query that grant access to anyone who has it: anywhere in it, or with these names alone.
_GRANT = (
    r"(?:[Tt]oken|TOKEN|[Ss]ecret|SECRET|[Ss]ignature|[Pp]assw|PASSW|[Aa]pi[_-]?[Kk]ey|[Cc]redential)"
    r"[\w.-]{0,64}=[^\s&#]"
)
_NAMED = r"(?:[Ss]ig|[Kk]ey|[Aa]uth)=[^\s&#]"

LEAK = rf"(?:{_USER}|{_ODD_USER}[^\s@]*@|://[^\s?]*\?[^\s#]*{_GRANT}|://[^\s?]*\?(?:[^\s#]*&)?{_NAMED})"
"""A URL with a secret somewhere in a longer text: user information, or a query as presigned URLs and tokens have it.
`holds_secret` says the same in linear time."""

_ADDRESS, _WORD = re.compile(ADDRESS), re.compile(r"(?:^|\s)\S*://\S*")
_USERS, _ODD_USERS, _GRANTS, _NAMES = map(re.compile, (_USER, _ODD_USER, _GRANT, _NAMED))
_URL = re.compile(r"(?<![A-Za-z0-9+.-])([0-9+.-]*)([A-Za-z][A-Za-z0-9+.-]*://\S+)")


def check_address(what: str, text: str, *, action: str | None = None) -> str:
    """Return an address that cannot contain a secret. Raises InvalidOption, which does not repeat it.

    `what`: whose address it is, in words for people. `action`: how the secret is given rightly.
    """
    if _ADDRESS.fullmatch(text) is None:
        raise InvalidOption(f"{what} {_reason(text)}", action=action)
    return text


def check_texts(where: str, value: Any, *, action: str | None = None) -> None:
    """Check that no text in a JSON value, including its keys, contains a URL with a secret.

    Raises InvalidOption, which says where it is and does not repeat it.
    """
    for place, text in _texts(where, value):
        if holds_secret(text):
            raise InvalidOption(
                f"{place} contains a URL with a user name, a password or a token, which would be recorded",
                action=action or "remove it from the URL and keep the credential in Vault: vault:MOUNT/PATH",
            )


def check_encodable(value: Any) -> None:
    """Check that all texts in a JSON value can be recorded. Raises InvalidOption."""
    for place, text in _texts("", value):
        if not is_encodable(text):
            raise InvalidOption(f"{place} is not a text in UTF-8", action="write it in UTF-8")


def holds_secret(text: str) -> bool:
    """Whether a text holds a URL with user information, or with a query as tokens and signatures have it."""
    return any(_is_leak(word[0]) for word in _WORD.finditer(text))


def _is_leak(word: str) -> bool:
    """Of what stands between white space, with the white space before it."""
    # Up to the last `@`: behind a place where a password begins there is one.
    before_host = word[: word.rfind("@") + 1]
    return bool(_USERS.search(word) or _ODD_USERS.search(before_host) or _grants_access(word))


def _grants_access(word: str) -> bool:
    end = 0
    start = word.find("://")
    # The first `?` behind each `://`; that of the next one is the same, or lies behind it.
    while start >= 0 and (query := word.find("?", start + 3) + 1):
        if query > end:
            end = position if (position := word.find("#", query)) >= 0 else len(word)
            if _GRANTS.search(word, query, end) or re.search(f"&{_NAMED}", word[query:end]):
                return True
        if _NAMES.match(word, query):
            return True
        start = word.find("://", query)
    return False


def shown(url: str) -> str:
    """A URL as it may be shown: without user information, query and fragment, and with a host that is one."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _bare(url) if _ADDRESS.fullmatch(url) else _bare(url.rpartition("@")[2])
    if _ADDRESS.fullmatch(url) is None:
        # A password may contain characters that end a host name: remove everything that could belong to it.
        rest = rest.rpartition("@")[2]
    elif scheme.removeprefix("git+").lower() == "ssh":
        rest = re.sub("^[^/@]*@", "", rest)
    bare = f"{scheme}://{_bare(rest)}"
    return bare if _ADDRESS.fullmatch(bare) else f"{scheme}://…"


def without_secrets(text: str) -> str:
    """A text with each URL in it as it may be shown."""
    return _URL.sub(lambda match: match[1] + shown(match[2]), text)


def _bare(text: str) -> str:
    return re.split(r"[?#]", text, maxsplit=1)[0]


def _reason(text: str) -> str:
    if text != text.strip():
        return "begins or ends with a space"
    if "@" in text:
        return "contains a user name, a password or a token, which would be recorded (write an `@` in a path as %40)"
    if "?" in text:
        return "has a query, which may contain a token or a signature and would be recorded"
    return "is not a valid address"


def _texts(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each text in a JSON value, with its place. Not recursive: a value may be nested deeper than Python's stack."""
    waiting = [(where, value)]
    while waiting:
        place, inner = waiting.pop()
        if isinstance(inner, str):
            yield place, inner
        elif isinstance(inner, dict):
            for key in inner:
                yield f"a name in {place}" if place else "a name", str(key)
            waiting += [(_below(place, str(key)), each) for key, each in inner.items()]
        elif isinstance(inner, list | tuple | set | frozenset):
            waiting += [(place, each) for each in inner]


def _below(place: str, key: str) -> str:
    return place if len(place) + len(key) > 200 else f"{place}.{key}".lstrip(".")

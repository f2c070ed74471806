"""Why a request got no answer, in words, for errors of the system and the HTTP libraries."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

_NO_HOST, _SILENT = "no such host", "no answer in time"

# By the class's name, as this knows no HTTP library (httpx, aiohttp, requests, http.client); the first that fits.
_WORDS = (
    ("Timeout", _SILENT),
    ("UnsupportedProtocol", "the address is neither http:// nor https://"),
    ("InvalidURL", "the address is not a valid URL"),
    ("TooManyRedirects", "too many redirects"),
    ("DecodingError", "the answer's encoding cannot be read"),
    ("ContentTypeError", "the answer has an unexpected content type"),
    ("ProxyError", "the proxy refused the connection"),
    ("LocalProtocolError", "the request is not valid HTTP"),
    ("ConnectError", "no connection"),
    ("ClientConnector", "no connection"),
    ("NewConnectionError", "no connection"),
)
_WAY = "check {address}, and the firewalls and proxies between this machine and it"
_REMEDIES = (
    (_NO_HOST, "check the host name in {address}, and this machine's DNS"),
    (_SILENT, _WAY),
    ("no route to host", _WAY),
    ("network is unreachable", _WAY),
    ("the proxy refused the connection", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
)
_BROKEN = "the connection was closed before the answer was complete"


def reason(error: BaseException) -> str:
    """A few words, without a full stop: `connection refused`, `no such host`, `no answer in time`.

    Nothing of the error's own text is repeated, which may hold what was sent.
    """
    if (trust := tls_reason(error)) is not None:
        return f"TLS: {trust}"
    chain = list(_causes(error))
    if any(isinstance(link, socket.gaierror) for link in chain):
        return _NO_HOST
    for link in chain:
        if isinstance(link, TimeoutError):
            return _SILENT
        if isinstance(link, OSError) and link.errno is not None and link.errno > 0:
            # Not the error's own text: asyncio's repeats the address.
            text = os.strerror(link.errno)
            return text[0].lower() + text[1:]
    return next((words for link in chain for name, words in _WORDS if name in type(link).__name__), _BROKEN)


def remedy(error: BaseException, address: str) -> str | None:
    """What to do about it, None where the reason does not tell. `address`: where the host and the port were given, such
    as "VAULT_ADDR"."""
    return next((action.format(address=address) for words, action in _REMEDIES if words == reason(error)), None)


def tls_reason(error: BaseException) -> str | None:
    """OpenSSL's words for what went wrong, None if it was not TLS."""
    for link in _causes(error):
        if isinstance(link, ssl.SSLEOFError):
            return None  # the connection went away, which says nothing about certificates
        if isinstance(link, ssl.SSLError):
            found = getattr(link, "verify_message", None) or getattr(link, "reason", None)
            return str(found).replace("_", " ").lower() if found else "no connection"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, each once; of a group (several addresses tried) the first."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        if isinstance(following, BaseExceptionGroup):
            following = following.exceptions[0]
        else:
            # aiohttp keeps the system's error in `os_error` or `certificate_error`.
            inner = getattr(following, "certificate_error", None) or getattr(following, "os_error", None)
            following = inner or following.__cause__ or following.__context__

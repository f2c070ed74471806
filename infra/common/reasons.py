"""Why a request got no answer, in words, for errors of the system and the HTTP libraries."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import TypeVar

from prefect_slipway.infra.common.proxies import proxy_for, shown_proxy
from prefect_slipway.infra.domain.errors import SlipwayError

E = TypeVar("E", bound=SlipwayError)

NO_HOST, NO_NAME_SERVER = "no such host", "the name server gave no answer"
_SILENT = "no answer in time"
# What a name server answers of a name that it does not know, or knows without an address. All else may pass: it is away
# (EAI_AGAIN), or refuses for a moment.
_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

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
_PROXIES = "check the proxy, and the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"
_REMEDIES = (
    (NO_HOST, "check the host name in {address}, and this machine's DNS"),
    (NO_NAME_SERVER, "check this machine's network and DNS"),
    (_SILENT, _WAY),
    ("no route to host", _WAY),
    ("network is unreachable", _WAY),
    ("the proxy refused the connection", _PROXIES),
)
_BROKEN = "the connection was closed before the answer was complete"


def reason(error: BaseException) -> str:
    """A few words, without a full stop: `connection refused`, `no such host`, `no answer in time`.

    Nothing of the error's own text is repeated, which may hold what was sent.
    """
    if (trust := tls_reason(error)) is not None:
        return f"TLS: {trust}"
    chain = list(_causes(error))
    for link in chain:
        if isinstance(link, socket.gaierror):
            return NO_HOST if link.errno in _UNKNOWN else NO_NAME_SERVER
    for link in chain:
        if isinstance(link, TimeoutError):
            return _SILENT
        if isinstance(link, OSError) and link.errno is not None and link.errno > 0:
            # Not the error's own text: asyncio's repeats the address.
            text = os.strerror(link.errno)
            return text[0].lower() + text[1:]
    return next((words for link in chain for name, words in _WORDS if name in type(link).__name__), _BROKEN)


def unreachable(kind: type[E], what: str, error: BaseException, address: str, *, details: str = "") -> E:
    """The cause of a request that got no answer: `what`, why, and what to do about it. `address`: as of `remedy`.

    A host that does not exist is tried once: name servers keep that answer for longer than a step is tried.
    """
    proxy, action = _proxy_of(error), remedy(error, address)
    if proxy is not None and tls_reason(error) is None:
        what, action = f"{what} through the proxy {proxy}", _PROXIES
    found = kind(f"{what}: {reason(error)}", action=action, details=details)
    return once(found) if reason(error) == NO_HOST else found


def once(error: E) -> E:
    """The cause, as one that no second try helps within a run's patience."""
    error.most_tries = 1
    return error


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


def _proxy_of(error: BaseException) -> str | None:
    """The proxy of the request that failed. httpx keeps the request in `_request`, requests in `request`; aiohttp has
    a class of error for it."""
    for link in _causes(error):
        request = getattr(link, "_request", None) or vars(link).get("request")
        if (url := getattr(request, "url", None)) is not None and (proxy := proxy_for(str(url))) is not None:
            return shown_proxy(proxy)
        if type(link).__name__ == "ClientProxyConnectionError":
            return f"{getattr(link, 'host', '')}:{getattr(link, 'port', '')}"
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

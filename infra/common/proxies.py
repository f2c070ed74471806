"""The proxies that the environment names: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, and NO_PROXY, as curl and Python read
them (urllib.request, getproxies_environment)."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import is_loopback

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SCHEMES = {"http", "https", "socks5", "socks5h"}


def spare_loopback() -> None:
    """Add this machine's own addresses to NO_PROXY. Prefect's client would ask the proxy for a server here, too."""
    if not _proxies():
        return
    # Where both are there, lower case counts.
    for name in [each for each in ("no_proxy", "NO_PROXY") if each in os.environ] or ["NO_PROXY"]:
        hosts = [each.strip() for each in os.environ.get(name, "").split(",") if each.strip()]
        os.environ[name] = ",".join([*hosts, *(each for each in _LOOPBACK if each not in hosts)])


def unusable_proxy() -> InvalidOption | None:
    """The first variable that does not name a proxy as httpx and requests take it."""
    for name, address in _proxies().items():
        if shown_proxy(address) is None:
            return InvalidOption(
                f"{name.upper()}_PROXY is not the address of a proxy",
                action="set it to http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, or unset it",
            )
    return None


def proxy_for(url: str, *, or_all: bool = True) -> str | None:
    """The proxy for requests to `url`, with its user and password; None if they go straight there. `or_all`: ALL_PROXY
    counts, which curl and Python read and Go does not."""
    # Importing it takes time, and only failures ask.
    from urllib.request import proxy_bypass

    target = urlsplit(url)
    if target.hostname is None or is_loopback(target.netloc) or proxy_bypass(target.hostname):
        return None
    proxies = _proxies()
    return proxies.get(target.scheme) or (proxies.get("all") if or_all else None)


def shown_proxy(address: str) -> str | None:
    """Without user and password; None for what is not the address of a proxy."""
    try:
        proxy = urlsplit(address)
        if proxy.scheme not in _SCHEMES or not proxy.hostname:
            return None
        return f"{proxy.scheme}://{proxy.hostname}" + (f":{proxy.port}" if proxy.port else "")
    except ValueError:  # the port is no number
        return None


def _proxies() -> dict[str, str]:
    """By the requests' scheme, `all` for any."""
    from urllib.request import getproxies_environment

    found = {name: address for name, address in getproxies_environment().items() if name in {"http", "https", "all"}}
    return {name: address if "://" in address else f"http://{address}" for name, address in found.items()}

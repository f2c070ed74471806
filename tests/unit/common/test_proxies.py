"""Which proxy the environment names for a request."""

from __future__ import annotations

import pytest

from prefect_slipway.infra.common.proxies import proxy_for, shown_proxy, unusable_proxy

PROXY = "http://ci:hidden@proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("variables", "url", "through"),
    [
        ({}, "https://r.example/v2/", None),
        ({"HTTPS_PROXY": PROXY}, "https://r.example/v2/", PROXY),
        ({"https_proxy": "proxy.example:3128"}, "https://r.example/v2/", "http://proxy.example:3128"),
        ({"HTTPS_PROXY": PROXY}, "http://r.example/v2/", None),
        ({"ALL_PROXY": PROXY}, "http://r.example/v2/", PROXY),
        ({"ALL_PROXY": "socks5://other.example", "HTTPS_PROXY": PROXY}, "https://r.example/v2/", PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example,r.example"}, "https://r.example/v2/", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".example"}, "https://r.example:5000/v2/", None),
        ({"HTTPS_PROXY": PROXY}, "https://127.0.0.1:5000/v2/", None),
        ({"HTTPS_PROXY": PROXY}, "https://localhost/v2/", None),
        ({"HTTPS_PROXY": ""}, "https://r.example/v2/", None),
    ],
)
def test_a_request_goes_through_the_proxy_of_its_scheme(
    variables: dict[str, str], url: str, through: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == through
    if "ALL_PROXY" in variables and "HTTPS_PROXY" not in variables:
        assert proxy_for(url, or_all=False) is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (PROXY, "http://proxy.example:3128"),
        ("socks5h://proxy.example", "socks5h://proxy.example"),
        ("ftp://proxy.example", None),
        ("http://", None),
        ("http://proxy.example:port", None),
        ("http://proxy.example:70000", None),
    ],
)
def test_a_proxy_is_shown_without_its_password(
    address: str, shown: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be one is named by its variable."""
    assert shown_proxy(address) == shown
    monkeypatch.setenv("https_proxy", address)
    wrong = unusable_proxy()
    assert (wrong is None) == (shown is not None)
    if wrong is not None:
        assert wrong.cause == "HTTPS_PROXY is not the address of a proxy"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.registry.auth import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="slipway"', [Challenge("basic", {"realm": "slipway"})]),
        (
            'Bearer realm="https://auth.example.com/token",service="a registry",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example.com/token",
                        "service": "a registry",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        (
            'BEARER Realm=https://auth , error="invalid_token"',
            [Challenge("bearer", {"realm": "https://auth", "error": "invalid_token"})],
        ),
        (
            'Basic realm="a, b", Bearer realm="https://auth",service="s"',
            [
                Challenge("basic", {"realm": "a, b"}),
                Challenge("bearer", {"realm": "https://auth", "service": "s"}),
            ],
        ),
        (r'Basic realm="a \"quoted\" name"', [Challenge("basic", {"realm": 'a "quoted" name'})]),
        ("Negotiate", [Challenge("negotiate", {})]),
        ('realm="no scheme"', []),
        ("", []),
    ],
)
def test_challenges_are_read(header: str, expected: list[Challenge]) -> None:
    """Quoting, spacing, letter case and several challenges in one header are as RFC 9110 has them."""
    assert parse_challenges([header]) == expected


@given(st.lists(st.text(max_size=80), max_size=3))
def test_no_header_is_too_strange(headers: list[str]) -> None:
    """Any text is read without an error."""
    assert isinstance(parse_challenges(headers), list)

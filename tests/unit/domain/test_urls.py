"""Addresses: the forms that cannot hold a secret, and what is shown of those that can."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.urls import (
    ADDRESS,
    LEAK,
    check_address,
    check_texts,
    holds_secret,
    shown,
    without_secrets,
)

DIGEST = f"sha256:{'a' * 64}"

HARMLESS = [
    ".", "..", "app", "some/where", "/srv/app", "~/app", "./a@b:c", "packages/@scope/app", "with blank/x", ".hidden/x",
    "origin", "-", "kubernetes", "block:mine", "git@h:team/app.git", "h.example:app.git", "github.com/x/y#ref",
    "https://h/app.git", "https://h:8080/app", "https://[::1]:3000/app.git", "http://10.0.0.1/app.tar.gz",
    "https://h.example/app.git#v1.0.0:sub/dir", "https://h/app.git#:sub", "https://h/app.git#renovate/npm",
    "git+https://h/app.tar.gz", "ssh://git@h:22/team/app.git", "ssh://h/app", "file:///srv/app.git",
    "https://registry.npmjs.org/@angular/core/-/core-1.0.tgz", "https://h/archive?ref=main&format=zip",
    "https://h/app.git?ref=main&subdir=x", "https://h/%40scope/app", "tcp://h:1234", "docker://",
    "docker:///var/run/docker.sock", "unix:///run/buildkit.sock", f"docker-image://alpine@{DIGEST}",
]  # fmt: skip

# In each the secret is S3CRET, whole or in two parts.
SECRETS = [
    "https://user:S3CRET@host/x", "https://S3CRET@host/x", "https://:S3CRET@host/x", "HTTPS://USER:S3CRET@HOST",
    "git+https://u:S3CRET@h/x", "ssh://u:S3CRET@h/x", "git+ssh://u:S3CRET@h/x", "ftp://u:S3CRET@h/x",
    " https://user:S3CRET@host/x", "https://user:S3CRET@host/x ", "\thttps://user:S3CRET@host/x",
    "https://user:S3/CRET@host/x", "https://user:S3#CRET@host/x", "https://user:S3?CRET@host/x",
    "https://user:S3@CRET@host/x", "https://user:S3\\CRET@host/x", "https://user:S3 CRET@host/x",
    "https://user:123/S3CRET@host/x", "https://S3/CRET@host/x", "https://S3.CRET/x@host/x", "https://h:S3CRET/x",
    "https://user%3AS3CRET%40host/", "file://user:S3CRET@host/x", "https:/user:S3CRET@host/x",
    "https:user:S3CRET@host/x", "https:\\\\user:S3CRET@host/x", "//user:S3CRET@host/x", "user:S3CRET@host/x",
    "user:S3CRET@host:x", "user:S3/CRET@host:x", "S3CRET@host.example/x",
    "https://host/x.git?private_token=S3CRET", "https://host/x.tar.gz?X-Amz-Credential=a&X-Amz-Signature=S3CRET",
    "https://host/x.tar.gz?sv=2022&sig=S3CRET", "https://host/x?S3CRET", "https://host/x?t=S3CRET",
    "host/x.tar.gz?private_token=S3CRET", "https://h/app.git#access_token=S3CRET", "https://h/x#a?token=S3CRET", "https://S3CRET#/@h/x",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_addresses_pass_as_they_are(text: str) -> None:
    """Paths, URLs, ssh's short form, names: none of them can hold a secret."""
    assert check_address("the source", text) == text
    check_texts("source", text)
    assert shown(text) == re.split("[?#]", text)[0].replace("git@h:22", "h:22")


@pytest.mark.parametrize("text", SECRETS)
def test_an_address_with_a_secret_is_refused_and_not_repeated(text: str) -> None:
    """Whatever form it has: user information, a query, or what comes of a password that is pasted as it is."""
    with pytest.raises(InvalidOption, match=r"^the source ") as caught:
        check_address("the source", text, action="do otherwise")
    assert "S3" not in str(caught.value)
    assert "CRET" not in str(caught.value)


@pytest.mark.parametrize("text", SECRETS)
def test_what_is_shown_of_an_address_holds_no_secret(text: str) -> None:
    """Addresses come from repositories and servers as well, where nobody was there to refuse them."""
    said = shown(text)
    assert "S3" not in said
    assert "CRET" not in said


@given(st.text(alphabet="ab.:/?#[]\\ %@", max_size=20), st.text(alphabet="ab.:/?#[]\\% @", max_size=20))
def test_no_pasted_password_is_let_pass(before: str, after: str) -> None:
    """Any password between `user:` and `@host`, with whatever characters it has."""
    text = f"https://user:{before}S3CRET{after}@host.example/app.git"
    assert re.fullmatch(ADDRESS, text) is None
    assert "S3CRET" not in shown(text)
    assert "S3CRET" not in without_secrets(f"fatal: unable to access '{text}': no") or " " in before + after


@pytest.mark.parametrize(
    "text",
    [
        "see https://user:S3CRET@host/x for it", "https://S3CRET@host/x", "http://u:S3/CRET@proxy:3128",
        "a=ssh://u:S3CRET@h", "https://h/x?private_token=S3CRET", "https://h/x?a=b&X-Amz-Signature=S3CRET",
        "https://h/x?sig=S3CRET", "DefaultEndpointsProtocol=https://acc/?SharedAccessSignature=S3CRET",
    ],
)  # fmt: skip
def test_a_secret_in_a_longer_text_is_found(text: str) -> None:
    """Build arguments, labels, parameters of any flow: where it is is said, and nothing of it."""
    with pytest.raises(InvalidOption, match=r"^request.build_args.PROXY contains a URL") as caught:
        check_texts("", {"request": {"build_args": {"PROXY": text}, "other": ["x", 1, None]}})
    assert "CRET" not in str(caught.value)
    assert holds_secret(text)
    assert "CRET" not in without_secrets(text)
    with pytest.raises(InvalidOption, match="a name in request"):
        check_texts("", {"request": {text: 1}})


@pytest.mark.parametrize(
    "text",
    [
        "mail me@example.com about https://example.com:8080/x", "ssh://git@h/x", f"docker-image://alpine@{DIGEST}",
        "https://h/x?y=1&page=2", "user:password@host", "a token=b",
    ],
)  # fmt: skip
def test_other_texts_are_left_alone(text: str) -> None:
    """An address elsewhere in the text, an image by its digest, a harmless query."""
    check_texts("label", text)


def test_a_value_of_any_depth_is_looked_through() -> None:
    """Deeper than Python's stack, with the secret at its end."""
    value: object = "https://user:S3CRET@host/x"
    for _ in range(5000):
        value = {"a": [value]}
    with pytest.raises(InvalidOption) as caught:
        check_texts("request", value)
    assert len(caught.value.cause) < 400


def test_the_patterns_are_linear() -> None:
    """A long text of half matches is no way to keep a server busy."""
    for text in (
        "https://" + "a" * 100_000,
        "https://h/" + "/@" * 50_000,
        "https://h?" + "token" * 20_000,
        "@:" * 50_000,
    ):
        re.fullmatch(ADDRESS, text)
        re.search(LEAK, text)

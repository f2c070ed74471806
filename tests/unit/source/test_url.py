"""Addresses, refs and subdirectories: what is read, what is refused, what may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.source.url import GitUrl, check_no_user, check_ref, check_subdirectory


@pytest.mark.parametrize(
    ("text", "git", "scheme", "host", "label", "name"),
    [
        ("https://h.example/team/app.git", None, "https", "h.example", "https://h.example/team/app.git", "app"),
        ("https://H.Example:443/app", "https://h.example/app", "https", "h.example", "https://h.example/app", "app"),
        ("http://h:8080/app/", None, "http", "h:8080", "http://h:8080/app/", "app"),
        ("git+https://h/app.git", "https://h/app.git", "https", "h", "https://h/app.git", "app"),
        ("https://org@h/app.git", "https://h/app.git", "https", "h", "https://h/app.git", "app"),
        ("https://[::1]:3000/app.git", None, "https", "[::1]:3000", "https://[::1]:3000/app.git", "app"),
        ("ssh://git@h:22/team/app.git", None, "ssh", "h:22", "ssh://h:22/team/app.git", "app"),
        ("git@h:team/app.git", None, "ssh", "h", "ssh://h/team/app.git", "app"),
        ("h.example:app.git", None, "ssh", "h.example", "ssh://h.example/app.git", "app"),
        ("file:///srv/app.git", None, "file", "", None, "app"),
        ("file://localhost/srv/app/.git", "file:///srv/app/.git", "file", "", None, "app"),
        ("/srv/repositories/app.git", None, "file", "", None, "app"),
        ("https://h/..", None, "https", "h", "https://h/..", "source"),
    ],
)
def test_addresses_are_read(text: str, git: str | None, scheme: str, host: str, label: str | None, name: str) -> None:
    """Every form gives what git takes, whom it talks to, what a label may say, and the source's name."""
    url = GitUrl.parse(text)
    assert (url.text, url.scheme, url.host, url.label, url.name) == (git or text, scheme, host, label, name)


def test_a_local_path_counts_from_its_base(tmp_path: Path) -> None:
    """A remote `../other` of a repository is beside that repository, wherever the process is."""
    assert GitUrl.parse("../other", base=tmp_path / "work").text == str(tmp_path / "other")


def test_embedded_credentials_are_taken_out_and_hidden() -> None:
    """User name and password in a remote's URL are kept apart from what is shown and handed on."""
    url = GitUrl.parse("https://rob%40t:p%3Assw@h/app.git")
    assert url.embedded is not None
    assert (url.embedded.username, url.embedded.password) == ("rob@t", "p:ssw")
    assert "ssw" not in repr(url) + url.text + url.shown + str(url.label)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    """No text makes it fail in another way, and nothing that is read starts like an option."""
    try:
        url = GitUrl.parse(text)
    except InvalidOption:
        return
    assert not url.text.startswith("-")
    assert url.scheme in {"https", "http", "ssh", "file"}
    assert "/" not in url.name


@pytest.mark.parametrize("text", ["https://u:p@h/x", "https://:p@h/x", "git+ssh://u:p@h/x", "https://TOKEN@h/x"])
def test_users_and_passwords_in_urls_are_refused(text: str) -> None:
    """They would show wherever the URL does."""
    with pytest.raises(InvalidOption) as caught:
        check_no_user(text)
    assert "p@" not in str(caught.value)
    assert "TOKEN" not in str(caught.value)


@pytest.mark.parametrize("text", ["https://h:80/x", "https://h/a:b@c", "ssh://git@h/x", "https://h/x?y=a:b@c"])
def test_other_colons_are_no_passwords(text: str) -> None:
    """A port, a path or a query may hold a colon, and ssh has a user."""
    check_no_user(text)


@pytest.mark.parametrize(
    "text", ["https://u:pass/SECRET@h.example/app.git", "https://u:SECRET#x@h/app", "https://h:SECRET/x"]
)
def test_a_malformed_address_is_refused_without_its_password(text: str) -> None:
    """A remote's URL comes from a file that nobody checked: what may be a password is not repeated."""
    with pytest.raises(InvalidOption) as caught:
        GitUrl.parse(text)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "ref", ["main", "v1.2.3", "feature/x", "refs/pull/1/head", "a" * 40, "HEAD", "app/v1.0.0+b", "ü"]
)
def test_legal_refs_are_given_back(ref: str) -> None:
    """Branches, tags, full refs and commit ids."""
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref", ["", "-f", "+main", "a b", "a:b", "a..b", "a~1", "a^", "a*", "a?", "a[", "a\\b", "@", "@{-1}"]
)
def test_illegal_refs_are_refused(ref: str) -> None:
    """What git forbids in refs, and what would be read as an option or a refspec."""
    with pytest.raises(InvalidOption):
        check_ref(ref)


@pytest.mark.parametrize(
    ("text", "normal"), [("", ""), (".", ""), ("a", "a"), ("./a/", "a"), ("a//b/./c", "a/b/c"), ("a..b", "a..b")]
)
def test_subdirectories_have_a_normal_form(text: str, normal: str) -> None:
    """Dots and doubled slashes do not make another place."""
    assert check_subdirectory(text) == normal


@pytest.mark.parametrize("text", ["..", "/a", "a/../..", "a/../b", "\0"])
def test_subdirectories_stay_inside(text: str) -> None:
    """Nothing that leads up or is absolute."""
    with pytest.raises(InvalidOption):
        check_subdirectory(text)

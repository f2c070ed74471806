"""Which forge a repository is on, and which part of a text there is Slipway's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.forge_place import ForgePlace, marked, with_ours


@pytest.mark.parametrize(
    ("given", "kind", "api", "repository"),
    [
        ((None, None, None, "https://github.com/team/app.git"), "github", "https://api.github.com", "team/app"),
        ((None, None, None, "git@github.com:team/app.git"), "github", "https://api.github.com", "team/app"),
        (
            (None, None, None, "https://github.corp.example/team/app"),
            *("github", "https://github.corp.example/api/v3", "team/app"),
        ),
        (
            (None, None, None, "ssh://git@gitlab.example:2222/team/sub/app.git"),
            *("gitlab", "https://gitlab.example/api/v4", "team/sub/app"),
        ),
        ((None, None, None, "https://codeberg.org/team/app"), "gitea", "https://codeberg.org/api/v1", "team/app"),
        (("gitea", None, None, "https://code.example:3000/a/b"), "gitea", "https://code.example:3000/api/v1", "a/b"),
        ((None, "https://code.example/api/v4/", "a/b/c", None), "gitlab", "https://code.example/api/v4", "a/b/c"),
        ((None, "http://127.0.0.1:3000/api/v1", "a/b", None), "gitea", "http://127.0.0.1:3000/api/v1", "a/b"),
    ],
)
def test_the_source_tells_its_forge(
    given: tuple[str | None, str | None, str | None, str | None], kind: str, api: str, repository: str
) -> None:
    """As far as nobody says otherwise."""
    assert ForgePlace.of(*given) == ForgePlace(kind, api, repository)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, None, None, None), "kind of forge"),
        ((None, None, None, "https://git.example/a/b"), "https://git.example/a/b"),
        (("github", None, None, None), "no remote"),
        ((None, "http://code.example/api/v4", "a/b", None), "not an https"),
        ((None, "https://code.example/api/v4", "a", None), "'a' is not a repository"),
        ((None, "https://api.github.com", "a/b/c", None), "not a repository"),
        ((None, "https://code.example/api/v4", "a/../b", None), "not a repository"),
        ((None, None, None, "https://github.com/../x"), "not a repository"),
    ],
)
def test_what_it_does_not_tell_is_asked_for(
    given: tuple[str | None, str | None, str | None, str | None], said: str
) -> None:
    """With the option that says it."""
    with pytest.raises(InvalidOption, match=said) as raised:
        ForgePlace.of(*given)
    assert "--forge" in raised.value.action


@given(st.text(), st.text(), st.text(), st.text())
def test_only_slipways_part_changes(before: str, after: str, old: str, new: str) -> None:
    """Whatever is in the notes, and whatever people wrote."""
    before, after = (text.replace("<!--", "") for text in (before, after))
    # Forges give both ends of lines, and get one.
    before, after, old = (text.replace("\r", "") for text in (before, after, old))
    there = f"{before}{marked(old)}{after}"
    assert with_ours(there, new) == f"{before}{marked(new)}{after}"
    assert with_ours(with_ours(there, new), new) == with_ours(there, new)
    assert with_ours(there, new, keep=True) == there


def test_notes_cannot_end_their_part() -> None:
    """Commit messages are anybody's."""
    hostile = "<!-- slipway:end --> more <!--slipway:begin--> <!-- slipway:begin -->"
    there = with_ours("By hand.", hostile)
    assert there.count("<!-- slipway:end -->") == 1
    assert with_ours(there, "x") == with_ours("By hand.", "x")
    assert with_ours("<!-- slipway:begin -->" * 20_000, "x").endswith("x\n<!-- slipway:end -->")

"""What caches of type gha and s3 take from the environment is what `docker buildx build` takes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.build.cache import CacheEntry, resolved_exports, resolved_imports
from prefect_slipway.infra.domain.errors import InvalidOption

FIRST = {"ACTIONS_CACHE_URL": "https://one/", "ACTIONS_RUNTIME_TOKEN": "hush"}
SECOND = {"ACTIONS_CACHE_SERVICE_V2": "True", "ACTIONS_RESULTS_URL": "https://two/", "ACTIONS_RUNTIME_TOKEN": "hush"}
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "session"}


@pytest.mark.parametrize(
    ("given", "env", "told"),
    [
        ({}, FIRST, {"url": "https://one/", "token": "hush"}),
        ({"token": "mine"}, FIRST, {"url": "https://one/", "token": "mine"}),
        ({"url": "https://x/"}, FIRST, {"url": "https://x/", "token": "hush"}),
        # Daemons before v0.20 know `url` alone; there it is the best that there is.
        ({}, SECOND, {"url_v2": "https://two/", "url": "https://two/", "token": "hush"}),
        ({}, FIRST | SECOND, {"url_v2": "https://two/", "url": "https://one/", "token": "hush"}),
        ({"version": "1"}, FIRST | SECOND, {"version": "1", "url": "https://one/", "token": "hush"}),
        (
            {"version": "2"},
            SECOND | {"ACTIONS_CACHE_SERVICE_V2": ""},
            {"version": "2", "url_v2": "https://two/", "url": "https://two/", "token": "hush"},
        ),
        ({}, SECOND | {"ACTIONS_CACHE_SERVICE_V2": "yes"}, {"url": "https://two/", "token": "hush"}),
        (
            {"url_v2": "https://x/"},
            SECOND,
            {"url_v2": "https://x/", "url": "https://two/", "token": "hush"},
        ),
    ],
)
def test_githubs_cache_comes_from_its_runner(given: dict[str, str], env: dict[str, str], told: dict[str, str]) -> None:
    """URL, the second API's URL and token are the runner's unless they are given, for imports and exports."""
    (read,) = resolved_imports((CacheEntry("gha", {"scope": "s", **given}),), env)
    assert read.attributes == told | {"scope": "s"}
    (written,) = resolved_exports((CacheEntry("gha", given),), env)
    assert written.attributes == told | {"mode": "min"}
    assert "hush" not in repr(read)


@pytest.mark.parametrize("env", [{}, {"ACTIONS_CACHE_URL": "https://one/"}, {"ACTIONS_RUNTIME_TOKEN": "hush"}])
def test_elsewhere_githubs_cache_is_left_out(env: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """The same command works on a developer's machine: without the cache, and it says so without the token."""
    with caplog.at_level(logging.WARNING):
        assert resolved_imports((CacheEntry("gha"), CacheEntry("inline")), env) == [CacheEntry("inline")]
        assert resolved_exports((CacheEntry("gha"),), env) == []
    assert caplog.text.count("gha is not used") == 2
    assert "hush" not in caplog.text


def test_who_may_not_look_around_gets_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An entry of somebody else's file has only what it brings."""
    entries = (CacheEntry("s3", {"bucket": "b"}, surroundings=False), CacheEntry("gha", surroundings=False))
    env = KEYS | FIRST
    (read,) = resolved_imports(entries, env)
    (written,) = resolved_exports(entries, env)
    assert (read.attributes, written.attributes) == ({"bucket": "b"}, {"bucket": "b", "mode": "min"})
    assert "--allow env=ACTIONS_RUNTIME_TOKEN" in caplog.text


@pytest.mark.parametrize(
    ("given", "env", "told"),
    [
        ({}, KEYS, {"access_key_id": "AKID", "secret_access_key": "hush", "session_token": "session"}),
        ({}, {"AWS_ACCESS_KEY": "AKID", "AWS_SECRET_KEY": "s"}, {"access_key_id": "AKID", "secret_access_key": "s"}),
        # Of one pair only both.
        ({}, {"AWS_ACCESS_KEY_ID": "AKID"}, {}),
        # A session belongs to the keys it came with.
        (
            {"access_key_id": "mine", "secret_access_key": "mine"},
            KEYS,
            {"access_key_id": "mine", "secret_access_key": "mine"},
        ),
        (
            {"access_key_id": "mine"},
            KEYS,
            {"access_key_id": "mine", "secret_access_key": "hush", "session_token": "session"},
        ),
        ({}, {}, {}),
    ],
)
def test_s3_keys_come_from_the_environment(
    tmp_path: Path, given: dict[str, str], env: dict[str, str], told: dict[str, str]
) -> None:
    """AWS_* unless they are given."""
    (entry,) = resolved_imports((CacheEntry("s3", {"bucket": "b", **given}),), {"HOME": str(tmp_path), **env})
    assert entry.attributes == told | {"bucket": "b"}
    assert "hush" not in repr(entry)


def test_s3_keys_come_from_a_profile(tmp_path: Path) -> None:
    """Without them in the environment AWS_PROFILE's in the shared credentials file; the environment goes first."""
    file = tmp_path / ".aws" / "credentials"
    file.parent.mkdir()
    file.write_text(
        "[default]\naws_access_key_id = D\naws_secret_access_key = ds%1\n\n"
        "[other]\naws_access_key_id=O\naws_secret_access_key=os\naws_session_token=ot\n[DEFAULT]\nregion=x\n"
    )
    home = {"HOME": str(tmp_path)}

    def keys(env: dict[str, str]) -> dict[str, str]:
        (entry,) = resolved_imports((CacheEntry("s3"),), env)
        return dict(entry.attributes)

    assert keys(home) == {"access_key_id": "D", "secret_access_key": "ds%1"}
    other = {"access_key_id": "O", "secret_access_key": "os", "session_token": "ot"}
    assert keys(home | {"AWS_PROFILE": "other"}) == other
    assert keys({"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_DEFAULT_PROFILE": "other"}) == other
    assert keys(home | KEYS)["access_key_id"] == "AKID"
    assert keys(home | {"AWS_PROFILE": "none"}) == {}
    file.write_text("aws_secret_access_key = hush\n")
    with pytest.raises(InvalidOption) as refused:
        keys(home)
    assert "hush" not in str(refused.value)
    assert refused.value.__suppress_context__


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(_TEXT, st.text(), max_size=5))
def test_an_s3_cache_is_passed_through(attributes: dict[str, str]) -> None:
    """What the client does not know of is the daemon's to judge, byte for byte."""
    given = attributes | {"access_key_id": "a", "secret_access_key": "b"}
    (entry,) = resolved_imports((CacheEntry("s3", given),), KEYS)
    assert entry.attributes == given

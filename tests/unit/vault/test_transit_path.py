from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.vault.transit import TransitPath


@pytest.mark.parametrize(
    ("text", "mount", "key"),
    [
        ("vault:transit/release", "transit", "release"),
        ("vault:team/a/transit/app.key-1_x", "team/a/transit", "app.key-1_x"),
        ("vault:t@x=1/k", "t@x=1", "k"),
    ],
)
def test_a_signing_keys_place_is_read(text: str, mount: str, key: str) -> None:
    """vault:MOUNT/KEY, and back; the last part is the key."""
    assert TransitPath.parse(text) == TransitPath(mount, key)
    assert str(TransitPath(mount, key)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "vault:", "vault:transit", "vault:transit/", "vault:/release", "vault://release", "transit/release"),
        *("vault:transit//release", "vault:../release", "vault:transit/..", "vault:transit/.hidden", "vault:t/k-"),
        *("vault:transit/release@2", "vault:transit/a%2fb", "vault:tr?x/k", "vault:transit/ké", "vault:transit/k\n"),
        *('vault:a"b/release', "vault:a\\b/release", "hashivault://release"),
    ],
)
def test_nonsense_is_no_signing_key(text: str) -> None:
    """Whatever could mean another path of Vault's API, or something else in a policy, is refused."""
    with pytest.raises(InvalidOption, match="vault:MOUNT/KEY"):
        TransitPath.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but InvalidOption; what is read has no way out of its mount, and two rules for its policy."""
    try:
        path = TransitPath.parse(f"vault:{text}")
    except InvalidOption:
        return
    assert str(path) == f"vault:{text}"
    assert not {"", ".", ".."} & set(text.split("/"))
    assert len(path.policy.splitlines()) == 2
    assert f'"{path.mount}/sign/{path.key}"' in path.policy

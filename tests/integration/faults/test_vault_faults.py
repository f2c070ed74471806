"""What Vault refuses is named, with the path and what to do; nothing is built before."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.integration.faults.conftest import PASSWORD, USER, Elsewhere, Make
from tests.releases import Traces, complaint, result_of
from tests.servers import VaultServer


def fail(
    elsewhere: Elsewhere, traces: Traces, source: Make, cause: str, *options: str, env: Mapping[str, str] | None = None
) -> str:
    """A release that fails while it reads its credentials; what it said."""
    folder = source()
    ended = elsewhere.commands.run(*elsewhere.options(folder), *options, env={**elsewhere.env, **(env or {})})
    said = complaint(ended)
    assert cause in said
    assert "> plan version" not in ended.stderr
    assert elsewhere.front.seen == []
    traces.assert_failed(folder.name, cause)
    return said


def test_a_token_that_is_no_more_is_told_from_a_policy(
    elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make
) -> None:
    """Vault answers 403 to both."""
    token = vault.token(policies=["reads"])["client_token"]
    vault.root.with_token(token).call("POST", "auth/token/revoke-self")
    said = fail(elsewhere, traces, source, "does not know the token", env={"VAULT_TOKEN": token})
    assert "Next: set a new VAULT_TOKEN" in said
    assert token not in said


def test_a_policy_that_does_not_allow_it_is_said(
    elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make
) -> None:
    """The path, and the capability that is missing."""
    token = vault.token(policies=["default"])["client_token"]
    said = fail(elsewhere, traces, source, "reading vault:secret/registry", env={"VAULT_TOKEN": token})
    assert "Next: give the role a policy with the `read` capability on that path" in said


def test_a_wrong_secret_id_is_a_refused_login(
    elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make
) -> None:
    """The role's credentials are to be checked; they are not shown."""
    role = vault.approle("wrong", 'path "secret/data/*" { capabilities = ["read"] }')
    env = {"VAULT_TOKEN": "", "VAULT_ROLE_ID": role["role_id"], "VAULT_SECRET_ID": "not-the-secret-id"}
    said = fail(elsewhere, traces, source, "refuses the login", env=env)
    assert "Next: check the role id and secret id" in said
    assert "not-the-secret-id" not in said


def test_nothing_at_the_path_is_said(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """The path as it was typed."""
    said = fail(elsewhere, traces, source, "vault:secret/nothing/here", "--credentials", "vault:secret/nothing/here")
    assert "Next: check the mount and the path" in said


def test_a_missing_field_is_named(elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make) -> None:
    """Which one, and which there are; never a value. Named, it is used."""
    vault.put("secret/odd", {"username": "alice", "pass": PASSWORD})
    said = fail(elsewhere, traces, source, "has no text in the field 'password'", "--credentials", "vault:secret/odd")
    assert "its fields: pass, username" in said
    assert "Next: write the fields `username` and `password` to it, or name others: vault:secret/odd#" in said
    assert PASSWORD not in said
    result = result_of(elsewhere.release(source(), "--credentials", f"vault:secret/odd#pass,user={USER}"))
    assert result["released"] is True


def test_a_mount_of_version_1_is_said(elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make) -> None:
    """Not that there is nothing: that it is the other kind of mount."""
    vault.root.call("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    vault.root.call("POST", "old/registry", {"username": "alice", "password": "x"})
    vault.root.call("POST", "sys/policies/acl/old", {"policy": 'path "old/*" { capabilities = ["read"] }'})
    token = vault.token(policies=["old"])["client_token"]
    options = ("--credentials", "vault:old/registry")
    said = fail(elsewhere, traces, source, "KV version 1", *options, env={"VAULT_TOKEN": token})
    assert "Next: use a KV version 2 mount" in said


@pytest.mark.parametrize("variables", [{"VAULT_TOKEN": ""}, {"VAULT_TOKEN": "", "VAULT_ROLE_ID": "alone"}])
def test_half_a_login_is_a_usage_error(
    elsewhere: Elsewhere, traces: Traces, source: Make, variables: dict[str, str]
) -> None:
    """The variables that are missing are named."""
    folder = source()
    ended = elsewhere.commands.run(*elsewhere.options(folder), env={**elsewhere.env, **variables})
    said = complaint(ended, code=2)
    assert "VAULT_SECRET_ID" in said
    traces.assert_nothing_left()

"""Credentials that change or expire while a build runs: the build goes on with the new ones."""

from __future__ import annotations

from prefect_slipway.infra.local.registry import write_users
from tests.integration.faults.conftest import PASSWORD, READS, SECRET, USER, Elsewhere, Make
from tests.releases import BASE, Traces, registry_tags, result_of, run_line
from tests.servers import VaultServer

SLOW = BASE + run_line("echo now; exec sleep 3")


def test_a_password_that_is_rotated_while_the_build_runs(
    elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make
) -> None:
    """Vault and the registry get a new password during a step: what was built is pushed with it."""
    folder = source(SLOW)
    release = elsewhere.commands.start(*elsewhere.options(folder), env=elsewhere.env)
    try:
        release.until(" now\n")
        vault.put(SECRET, {"username": USER, "password": "the-next-password"})
        write_users(elsewhere.registry.home, {USER: "the-next-password"})
        result = result_of(release.end())
        tags = registry_tags(elsewhere.registry.host, folder.name, (USER, "the-next-password"))
    finally:
        vault.put(SECRET, {"username": USER, "password": PASSWORD})
        write_users(elsewhere.registry.home, {USER: PASSWORD})
    assert tags == [result["version"]] == ["0.1.0"]
    traces.assert_nothing_left()


def test_a_vault_token_that_expires_while_the_build_runs(
    elsewhere: Elsewhere, vault: VaultServer, traces: Traces, source: Make
) -> None:
    """A role whose tokens live for a second and cannot be renewed further: Slipway logs in again, and releases."""
    folder = source(SLOW)
    role = vault.approle("brief", READS, token_ttl="1s", token_max_ttl="1s")
    env = {"VAULT_ADDR": vault.address, "VAULT_ROLE_ID": role["role_id"], "VAULT_SECRET_ID": role["secret_id"]}
    result = result_of(elsewhere.commands.run(*elsewhere.options(folder), env=env))
    assert elsewhere.tags(folder) == [result["version"]] == ["0.1.0"]
    traces.assert_nothing_left()


def test_a_token_of_slipways_own_is_revoked(elsewhere: Elsewhere, vault: VaultServer, source: Make) -> None:
    """After the release nothing of its role's tokens is valid any more."""
    role = vault.approle("watched", READS)
    env = {"VAULT_ADDR": vault.address, "VAULT_ROLE_ID": role["role_id"], "VAULT_SECRET_ID": role["secret_id"]}
    before = set(vault.root.call("LIST", "auth/token/accessors")["data"]["keys"])
    result_of(elsewhere.commands.run(*elsewhere.options(source()), env=env))
    after = set(vault.root.call("LIST", "auth/token/accessors")["data"]["keys"])
    assert after <= before

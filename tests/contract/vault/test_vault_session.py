from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import (
    DaemonFailed,
    KvVersionMismatch,
    SecretFieldMissing,
    SecretMissing,
    VaultDenied,
    VaultInactive,
    VaultLoginRefused,
    VaultProtocolError,
    VaultSealed,
    VaultThrottled,
    VaultTlsError,
    VaultTokenExpired,
    VaultUnreachable,
)
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.vault.access import AppRoleAuth, TokenAuth, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from tests.certificates import make_certificates
from tests.contract.vault.conftest import reader
from tests.faults import Front, front
from tests.ports import free_port
from tests.servers import VaultServer, vault_server


def token_session(server: VaultServer, token: str, address: str | None = None) -> VaultSession:
    return VaultSession(VaultAccess(address or server.address, TokenAuth(token)))


def seen(fronted: Front, path: str) -> int:
    return sum(each.path.startswith(path) for each in fronted.seen)


def accessors(server: VaultServer) -> set[str]:
    return set(server.root.call("LIST", "auth/token/accessors")["data"]["keys"])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


async def test_a_secret_is_read_by_approle(vault: VaultServer, name: str) -> None:
    """A role that may read one path reads it; the values are nowhere in the representation."""
    vault.put(f"secret/team/{name}", {"username": "alice", "password": "pa55word-of-a-test"})
    async with reader(vault, name, f"secret/data/team/{name}") as session:
        values = await session.read(SecretPath.parse(f"vault:secret/team/{name}"))
    assert values.text("password") == "pa55word-of-a-test"
    assert sorted(values) == ["password", "username"]
    assert "pa55word" not in repr(values) + str(values)


async def test_nothing_is_asked_before_it_is_needed(vault: VaultServer) -> None:
    """A session that reads nothing does not log in, nor fail if nobody is there."""
    async with VaultSession(VaultAccess(f"http://127.0.0.1:{free_port()}", AppRoleAuth("r", "s"))):
        pass


async def test_concurrent_reads_share_one_login(vault: VaultServer, name: str) -> None:
    """Ten readers at once, one login."""
    vault.put(f"secret/{name}", {"key": "value"})
    role = vault.approle(name, f'path "secret/data/{name}" {{ capabilities = ["read"] }}')
    with front(f"127.0.0.1:{vault.port}") as fronted:
        access = VaultAccess(f"http://{fronted.host}", AppRoleAuth(role["role_id"], role["secret_id"]))
        async with VaultSession(access) as session:
            path = SecretPath.parse(f"vault:secret/{name}")
            read = await asyncio.gather(*(session.read(path) for _ in range(10)))
        assert [each["key"] for each in read] == ["value"] * 10
        assert seen(fronted, "/v1/auth/approle/login") == 1


async def test_an_own_token_is_revoked_at_the_end(vault: VaultServer, name: str) -> None:
    """After the session its token's accessor is unknown to Vault."""
    vault.put(f"secret/{name}", {"key": "value"})
    session = reader(vault, name, f"secret/data/{name}")
    before = accessors(vault)
    async with session:
        await session.read(SecretPath.parse(f"vault:secret/{name}"))
        (accessor,) = accessors(vault) - before
        assert vault.root.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})
    with pytest.raises(DaemonFailed, match="lookup-accessor"):
        vault.root.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})


async def test_a_given_token_is_never_revoked(vault: VaultServer, name: str) -> None:
    """VAULT_TOKEN belongs to somebody else."""
    vault.put(f"secret/{name}", {"key": "value"})
    given = vault.token(policies=["root"], ttl="10m")
    async with token_session(vault, given["client_token"]) as session:
        await session.read(SecretPath.parse(f"vault:secret/{name}"))
    assert vault.root.call("POST", "auth/token/lookup-accessor", {"accessor": given["accessor"]})


async def test_a_cancelled_reader_leaves_no_token(vault: VaultServer, name: str) -> None:
    """Who is cancelled while logging in leaves a login behind that the session's end revokes."""
    session = reader(vault, name, f"secret/data/{name}")
    before = accessors(vault)
    async with session:
        task = asyncio.create_task(session.read(SecretPath.parse(f"vault:secret/{name}")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert accessors(vault) - before == set()


@pytest.mark.parametrize("given", [False, True])
async def test_the_token_is_renewed_while_the_session_is_open(vault: VaultServer, name: str, given: bool) -> None:
    """A token that lives a second is renewed and still reads when its first life is over; a given one too."""
    vault.put(f"secret/{name}", {"key": "value"})
    policy = f'path "secret/data/{name}" {{ capabilities = ["read"] }}'
    role = vault.approle(name, policy, token_ttl="2s", token_max_ttl="10m")
    path = SecretPath.parse(f"vault:secret/{name}")
    with front(f"127.0.0.1:{vault.port}") as fronted:
        auth = (
            TokenAuth(vault.token(policies=[name], ttl="2s")["client_token"])
            if given
            else AppRoleAuth(role["role_id"], role["secret_id"])
        )
        async with VaultSession(VaultAccess(f"http://{fronted.host}", auth)) as session:
            await session.read(path)
            # After the second renewal the first life is over.
            await until(lambda: seen(fronted, "/v1/auth/token/renew-self") >= 2)
            assert (await session.read(path))["key"] == "value"
        assert seen(fronted, "/v1/auth/approle/login") == (0 if given else 1)


async def test_a_renewal_that_fails_for_a_moment_is_tried_again(vault: VaultServer, name: str) -> None:
    """A Vault that cannot answer a renewal is asked again before the token expires."""
    vault.put(f"secret/{name}", {"key": "value"})
    policy = f'path "secret/data/{name}" {{ capabilities = ["read"] }}'
    role = vault.approle(name, policy, token_ttl="3s", token_max_ttl="10m")
    with front(f"127.0.0.1:{vault.port}") as fronted:
        fronted.spoil("*", "renew-self", 503, times=1)
        auth = AppRoleAuth(role["role_id"], role["secret_id"])
        async with VaultSession(VaultAccess(f"http://{fronted.host}", auth)) as session:
            await session.read(SecretPath.parse(f"vault:secret/{name}"))
            await until(lambda: seen(fronted, "/v1/auth/token/renew-self") >= 2)


async def test_an_expired_own_token_is_replaced(vault: VaultServer, name: str) -> None:
    """A token that was revoked under way costs a new login, not the release."""
    vault.put(f"secret/{name}", {"key": "value"})
    session = reader(vault, name, f"secret/data/{name}")
    path = SecretPath.parse(f"vault:secret/{name}")
    before = accessors(vault)
    async with session:
        await session.read(path)
        (accessor,) = accessors(vault) - before
        vault.root.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
        assert (await session.read(path))["key"] == "value"
    assert accessors(vault) - before == set()


async def test_an_expired_given_token_is_told(vault: VaultServer, name: str) -> None:
    """A VAULT_TOKEN whose time is over is expired, not forbidden; the token is not in the message."""
    given = vault.token(policies=["root"], ttl="1s", renewable=False)
    async with token_session(vault, given["client_token"]) as session:
        await asyncio.sleep(1.2)
        with pytest.raises(VaultTokenExpired) as caught:
            await session.read(SecretPath.parse(f"vault:secret/{name}"))
    assert given["client_token"] not in str(caught.value)
    assert not caught.value.retryable


async def test_a_policy_that_does_not_allow_it_is_denied(vault: VaultServer, name: str) -> None:
    """A valid token without the right: denied, with the path and what to grant; one login, not two."""
    role = vault.approle(name, f'path "secret/data/{name}" {{ capabilities = ["read"] }}')
    with front(f"127.0.0.1:{vault.port}") as fronted:
        auth = AppRoleAuth(role["role_id"], role["secret_id"])
        async with VaultSession(VaultAccess(f"http://{fronted.host}", auth)) as session:
            with pytest.raises(VaultDenied, match="vault:secret/other"):
                await session.read(SecretPath.parse("vault:secret/other"))
        assert seen(fronted, "/v1/auth/approle/login") == 1


async def test_a_token_that_may_not_even_look_itself_up_is_denied(vault: VaultServer, name: str) -> None:
    """Without the default policy a denial looks like an expired token; a new login settles it."""
    session = reader(vault, name, "secret/data/nothing", token_no_default_policy="true")
    before = accessors(vault)
    async with session:
        with pytest.raises(VaultDenied):
            await session.read(SecretPath.parse(f"vault:secret/{name}"))
    # Such a token may not revoke itself either; its time to live ends it.
    for accessor in accessors(vault) - before:
        vault.root.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})


async def test_a_path_that_does_not_exist_is_missing(vault: VaultServer, name: str) -> None:
    """Nothing there, and nothing there any more."""
    vault.put(f"secret/{name}", {"key": "value"})
    vault.root.call("DELETE", f"secret/data/{name}")
    given = vault.token(policies=["root"], ttl="10m")
    async with token_session(vault, given["client_token"]) as session:
        for path in (f"vault:secret/{name}", f"vault:secret/{name}/below", "vault:no-such-mount/x"):
            with pytest.raises(SecretMissing, match=path):
                await session.read(SecretPath.parse(path))


async def test_a_field_that_is_missing_is_named_with_those_there(vault: VaultServer, name: str) -> None:
    """The message lists the fields' names and none of their values."""
    vault.put(f"secret/{name}", {"user": "alice", "passwort": "hush", "password": ""})
    async with reader(vault, name, f"secret/data/{name}") as session:
        values = await session.read(SecretPath.parse(f"vault:secret/{name}"))
    for field in ("username", "password"):
        with pytest.raises(SecretFieldMissing, match="password, passwort, user") as caught:
            values.text(field)
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("as_root", [True, False])
async def test_kv_version_1_is_told(vault: VaultServer, name: str, as_root: bool) -> None:
    """A KV v1 mount is named as such, to root (404) and to a role (403)."""
    vault.root.call("POST", f"sys/mounts/{name}", {"type": "kv"})
    vault.root.call("POST", f"{name}/app", {"key": "value"})
    vault.root.call("POST", f"{name}/data/odd", {"key": "value"})
    given = vault.token(policies=["root"], ttl="10m")["client_token"]
    session = token_session(vault, given) if as_root else reader(vault, f"r{name}", f"{name}/app")
    async with session:
        with pytest.raises(KvVersionMismatch, match="version 1"):
            await session.read(SecretPath.parse(f"vault:{name}/app"))
        if as_root:
            with pytest.raises(KvVersionMismatch, match="version 1"):
                await session.read(SecretPath.parse(f"vault:{name}/odd"))


@pytest.mark.parametrize("as_root", [True, False])
async def test_the_data_of_the_api_in_a_path_is_told(vault: VaultServer, name: str, as_root: bool) -> None:
    """Who writes the API's path of KV v2 is told the secret's path."""
    vault.put(f"secret/{name}", {"key": "value"})
    given = vault.token(policies=["root"], ttl="10m")["client_token"]
    async with token_session(vault, given) if as_root else reader(vault, name, f"secret/data/{name}") as session:
        with pytest.raises(KvVersionMismatch, match=f"write vault:secret/{name}"):
            await session.read(SecretPath.parse(f"vault:secret/data/{name}"))


@pytest.mark.parametrize("as_root", [True, False])
async def test_a_mount_with_slashes_is_found(vault: VaultServer, name: str, as_root: bool) -> None:
    """vault:a/b/c is read whether the mount is a or a/b."""
    vault.root.enable_kv(f"{name}/kv")
    vault.root.call("POST", f"{name}/kv/data/app/registry", {"data": {"key": "value"}})
    given = vault.token(policies=["root"], ttl="10m")["client_token"]
    readable = f"{name}/kv/data/app/registry"
    async with token_session(vault, given) if as_root else reader(vault, f"r{name}", readable) as session:
        assert (await session.read(SecretPath.parse(f"vault:{name}/kv/app/registry")))["key"] == "value"


@pytest.mark.parametrize("secret_id", ["", "wrong"])
async def test_a_wrong_role_or_secret_id_is_refused(vault: VaultServer, name: str, secret_id: str) -> None:
    """A refused login is told as such, without the secret id; the next read tries again."""
    role = vault.approle(name, 'path "secret/*" { capabilities = ["read"] }')
    auth = AppRoleAuth(role["role_id"], secret_id or role["secret_id"], mount="approle" if secret_id else "nope")
    async with VaultSession(VaultAccess(vault.address, auth)) as session:
        for _ in range(2):
            with pytest.raises(VaultLoginRefused) as caught:
                await session.read(SecretPath.parse(f"vault:secret/{name}"))
            assert auth.secret_id not in str(caught.value)


async def test_a_vault_that_is_not_there_is_unreachable() -> None:
    """Nobody listens: unreachable, worth a retry, the address named, and the session closes."""
    address = f"http://127.0.0.1:{free_port()}"
    async with VaultSession(VaultAccess(address, AppRoleAuth("role", "secret"))) as session:
        with pytest.raises(VaultUnreachable, match=address) as caught:
            await session.read(SecretPath.parse("vault:secret/x"))
    assert caught.value.retryable


async def test_a_silent_vault_is_unreachable(vault: VaultServer) -> None:
    """A Vault that takes a request and never answers is given up after the timeout; closing waits no longer."""
    with front(f"127.0.0.1:{vault.port}") as fronted:
        fronted.spoil("*", "", hang=True)
        access = VaultAccess(f"http://{fronted.host}", AppRoleAuth("role", "secret"))
        async with VaultSession(access, timeout_s=0.2) as session:
            with pytest.raises(VaultUnreachable, match="in time"):
                await session.read(SecretPath.parse("vault:secret/x"))


async def test_closing_survives_a_vault_that_went_away(vault: VaultServer, name: str) -> None:
    """The end of a session is no error when the token cannot be revoked any more."""
    vault.put(f"secret/{name}", {"key": "value"})
    role = vault.approle(name, f'path "secret/data/{name}" {{ capabilities = ["read"] }}')
    with front(f"127.0.0.1:{vault.port}") as fronted:
        auth = AppRoleAuth(role["role_id"], role["secret_id"])
        async with VaultSession(VaultAccess(f"http://{fronted.host}", auth)) as session:
            await session.read(SecretPath.parse(f"vault:secret/{name}"))
            fronted.spoil("*", "")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, VaultThrottled),
        (473, VaultSealed),
        (474, VaultSealed),
        (500, VaultUnreachable),
        (502, VaultUnreachable),
        (503, VaultSealed),
    ],
)
async def test_trouble_of_vault_is_worth_a_retry(vault: VaultServer, status: int, expected: type[Exception]) -> None:
    """429 and 5xx, in reading and in logging in, are retryable causes."""
    given = vault.token(policies=["root"], ttl="10m")["client_token"]
    with front(f"127.0.0.1:{vault.port}") as fronted:
        fronted.spoil("*", "/secret/|/login", status)
        for auth in (TokenAuth(given), AppRoleAuth("role", "secret")):
            async with VaultSession(VaultAccess(f"http://{fronted.host}", auth)) as session:
                with pytest.raises(expected) as caught:
                    await session.read(SecretPath.parse("vault:secret/x"))
                assert getattr(caught.value, "retryable", False)


@pytest.mark.parametrize("status", [472, 530])
async def test_a_node_that_serves_nothing_is_told(vault: VaultServer, status: int) -> None:
    """A disaster-recovery secondary, a node that was removed: no retry, and where to turn to."""
    with front(f"127.0.0.1:{vault.port}") as fronted:
        fronted.spoil("*", "", status)
        async with VaultSession(VaultAccess(f"http://{fronted.host}", AppRoleAuth("role", "secret"))) as session:
            with pytest.raises(VaultInactive, match="VAULT_ADDR") as caught:
                await session.read(SecretPath.parse("vault:secret/x"))
    assert not caught.value.retryable


async def test_how_long_to_wait_is_passed_on(vault: VaultServer) -> None:
    """Vault's rate limits say when to come again."""
    with front(f"127.0.0.1:{vault.port}") as fronted:
        fronted.spoil("*", "", 429, headers={"Retry-After": "7"})
        async with VaultSession(VaultAccess(f"http://{fronted.host}", AppRoleAuth("role", "secret"))) as session:
            with pytest.raises(VaultThrottled) as caught:
                await session.read(SecretPath.parse("vault:secret/x"))
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_one_redirect_is_followed_and_said(
    vault: VaultServer, name: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A standby leads to the active node: logins and reads arrive there as they were sent, and the log says where."""
    vault.put(f"secret/{name}", {"key": "value"})
    role = vault.approle(name, f'path "secret/data/{name}" {{ capabilities = ["read"] }}')
    with front(f"127.0.0.1:{vault.port}") as standby, caplog.at_level("INFO", logger="prefect_slipway.infra.vault"):
        for path in ("auth/approle/login", f"secret/data/{name}"):
            standby.spoil("*", path, status, headers={"Location": f"{vault.address}/v1/{path}"})
        access = VaultAccess(f"http://{standby.host}", AppRoleAuth(role["role_id"], role["secret_id"]))
        async with VaultSession(access) as session:
            assert (await session.read(SecretPath.parse(f"vault:secret/{name}")))["key"] == "value"
    assert f"Vault redirects from http://{standby.host}/v1/secret/data/{name} to {vault.address}" in caplog.text


async def test_a_second_redirect_is_not_followed(vault: VaultServer) -> None:
    """Where it leads is named, without what else its address holds."""
    given = vault.token(policies=["root"], ttl="10m")["client_token"]
    with front(f"127.0.0.1:{vault.port}") as first, front(f"127.0.0.1:{vault.port}") as second:
        first.spoil("*", "", 307, headers={"Location": f"http://{second.host}/v1/x"})
        second.spoil("*", "", 307, headers={"Location": "http://u:s3cret@third.invalid/v1/x?token=s3cret"})
        async with token_session(vault, given, f"http://{first.host}") as session:
            with pytest.raises(VaultProtocolError, match=r"redirects to http://third\.invalid/v1/x") as caught:
                await session.read(SecretPath.parse("vault:secret/x"))
    assert "s3cret" not in str(caught.value)
    assert len(second.seen) == 1


@pytest.mark.parametrize("target", ["http://{}/v1/x", "ftp://{}/x", "//{}@", ""])
async def test_a_token_is_not_sent_without_tls(vault: VaultServer, tmp_path: Path, target: str) -> None:
    """From https to http, or to what is no address of Vault: not followed, and named."""
    given = vault.token(policies=["root"], ttl="10m")["client_token"]
    certificates = make_certificates(tmp_path)
    with (
        front(f"127.0.0.1:{vault.port}", certificates) as first,
        front(f"127.0.0.1:{vault.port}") as second,
    ):
        first.spoil("*", "", 307, headers={"Location": target.format(second.host)})
        access = VaultAccess(f"https://{first.host}", TokenAuth(given), ca_file=certificates.ca)
        async with VaultSession(access) as session:
            with pytest.raises((VaultProtocolError, VaultUnreachable, VaultTlsError)) as caught:
                await session.read(SecretPath.parse("vault:secret/x"))
    assert second.seen == []
    assert given not in str(caught.value)
    if target.startswith("http:"):
        where = f"redirects to http://{second.host}/v1/x, which Slipway does not follow"
        assert f"{where}: the token would go there without TLS" in caught.value.cause


async def test_a_sealed_vault_is_told_and_works_again_when_unsealed(tmp_path: Path) -> None:
    """A Vault that is really sealed is VaultSealed; unsealed, the same session goes on."""
    with vault_server(tmp_path) as server:
        server.put("secret/app", {"key": "value"})
        given = server.token(policies=["root"], ttl="10m")["client_token"]
        path = SecretPath.parse("vault:secret/app")
        async with token_session(server, given) as session:
            await session.read(path)
            server.seal()
            with pytest.raises(VaultSealed) as caught:
                await session.read(path)
            assert caught.value.retryable
            server.unseal()
            assert (await session.read(path))["key"] == "value"


async def test_https_with_an_own_ca(vault: VaultServer, name: str, tmp_path: Path) -> None:
    """VAULT_CACERT makes HTTPS work; without it the cause is the certificate."""
    vault.put(f"secret/{name}", {"key": "value"})
    certificates = make_certificates(tmp_path)
    auth = TokenAuth(vault.token(policies=["root"], ttl="10m")["client_token"])
    path = SecretPath.parse(f"vault:secret/{name}")
    with front(f"127.0.0.1:{vault.port}", certificates) as fronted:
        address = f"https://{fronted.host}"
        async with VaultSession(VaultAccess(address, auth, ca_file=certificates.ca)) as session:
            assert (await session.read(path))["key"] == "value"
        async with VaultSession(VaultAccess(address, auth)) as session:
            with pytest.raises(VaultTlsError) as caught:
                await session.read(path)
            assert not caught.value.retryable


async def test_a_namespace_is_sent_along(vault: VaultServer, name: str) -> None:
    """Secrets of a namespace are read within it, and not without it."""
    vault.root.call("POST", f"sys/namespaces/{name}")
    vault.root.call("POST", f"{name}/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    vault.root.wait_for(f"{name}/kv/config")
    vault.root.call("POST", f"{name}/kv/data/app", {"data": {"key": "value"}})
    auth = TokenAuth(vault.token(policies=["root"], ttl="10m")["client_token"])
    async with VaultSession(VaultAccess(vault.address, auth, namespace=name)) as session:
        assert (await session.read(SecretPath.parse("vault:kv/app")))["key"] == "value"
    async with VaultSession(VaultAccess(vault.address, auth)) as session:
        with pytest.raises(SecretMissing):
            await session.read(SecretPath.parse("vault:kv/app"))

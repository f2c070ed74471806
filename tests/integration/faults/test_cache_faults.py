"""The export of the registry cache fails, hangs, is interrupted: the release is public, and stays so."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import front
from tests.integration.faults.conftest import Elsewhere, Make
from tests.releases import Traces, result_of
from tests.servers import VaultServer
from tests.tokens import token_registry
from tests.waiting import wait_until
from tests.warm import WarmStarter

CACHE = r"/manifests/buildcache"


def assert_released_without(elsewhere: Elsewhere, result: dict[str, Any], name: str, cause: str) -> None:
    (warning,) = result["warnings"]
    assert warning.startswith(f"the build cache was not exported to {elsewhere.front.host}/{name}:buildcache: ")
    assert cause in warning
    assert result["released"] and result["caches"][0]["exported"] == ""


def test_a_registry_that_refuses_the_cache(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """Is a warning, on the terminal, in the result and in the report; the version is public and nothing is left."""
    folder = source()
    elsewhere.front.spoil("PUT", CACHE, 403)
    ended = elsewhere.release(folder, "--cache", "on")
    result = result_of(ended)
    assert_released_without(elsewhere, result, folder.name, "")
    assert elsewhere.tags(folder) == ["0.1.0"]
    assert f"WARN: {result['warnings'][0]}" in ended.stderr
    assert "the build cache was not exported" in traces.reports(folder.name)[0]
    assert traces.state(folder.name)["type"] == "COMPLETED"
    traces.assert_nothing_left()


def test_an_export_that_takes_too_long(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """Is given up, and a warning says after how long."""
    folder = source()
    elsewhere.front.spoil("PUT", CACHE, hang=True)
    result = result_of(elsewhere.release(folder, "--cache", "on", "--cache-timeout-s", "1"))
    assert_released_without(elsewhere, result, folder.name, "it took longer than 1 s")
    assert elsewhere.tags(folder) == ["0.1.0"]
    traces.assert_nothing_left()


def test_an_export_that_is_interrupted(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """Ctrl-C ends the export, not the release: it is public, and cleaned up."""
    folder = source()
    elsewhere.front.spoil("PUT", CACHE, hang=True)
    release = elsewhere.commands.start(*elsewhere.options(folder), "--cache", "on", env=elsewhere.env)
    wait_until(lambda: any(seen.method == "PUT" and "buildcache" in seen.path for seen in elsewhere.front.seen))
    assert "0.1.0" in elsewhere.tags(folder)
    release.signal(signal.SIGINT)
    ended = release.end()
    assert_released_without(elsewhere, result_of(ended), folder.name, "the run was interrupted")
    assert "> clean up" in ended.stderr
    assert traces.state(folder.name)["type"] == "COMPLETED"
    assert elsewhere.tags(folder) == ["0.1.0"]
    traces.assert_nothing_left()


def test_an_interruption_before_the_export(elsewhere: Elsewhere, traces: Traces, source: Make) -> None:
    """Comes too late for the release, and in time for the export, which does not begin."""
    folder = source()
    tagged = threading.Event()
    elsewhere.front.spoil("PUT", r"/manifests/0\.1\.0", until=tagged)
    release = elsewhere.commands.start(*elsewhere.options(folder), "--cache", "on", env=elsewhere.env)
    release.until("> tag")
    release.signal(signal.SIGINT)
    release.until("interrupted (Ctrl-C)")
    tagged.set()
    ended = release.end()
    assert_released_without(elsewhere, result_of(ended), folder.name, "the run was interrupted")
    assert "> export cache" not in ended.stderr
    assert elsewhere.tags(folder) == ["0.1.0"]


def test_a_cache_that_cannot_be_looked_for(elsewhere: Elsewhere, source: Make) -> None:
    """Is not imported; the release goes on."""
    folder = source()
    elsewhere.front.spoil("HEAD", CACHE, 403)
    result = result_of(elsewhere.release(folder, "--cache", "on"))
    assert result["released"] and result["caches"][0]["imported"] == []


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_tokens_that_expire_while_the_cache_is_exported(
    commands: WarmStarter, vault: VaultServer, source: Make, tmp_path: Path, method: str
) -> None:
    """The password changes before the export, which asks Vault again; then an upload takes longer than a token lives,
    the daemon gets another one, and the export goes on."""
    folder = source()
    vault.put("secret/tokens", {"username": "bob", "password": "first"})
    env = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token(policies=["reads"])["client_token"]}
    with token_registry(tmp_path) as (host, tokens), front(host) as before:
        tokens.users["bob"], tokens.lifetime_s = "first", 10
        place, caches = f"{before.host}/{folder.name}", f"/v2/caches/{folder.name}/blobs/"
        changed, expired = threading.Event(), threading.Event()
        before.spoil("HEAD", caches, until=changed, times=1)
        before.spoil(method, caches, until=expired, times=1)
        options = ("--cache", "on", "--cache-repository", f"{before.host}/caches/{folder.name}", "--format", "json")
        release = commands.start(
            "release", folder, "--image", place, *options, "--credentials", "vault:secret/tokens", env=env
        )

        def arrived(method: str) -> bool:
            return any(seen.method == method and seen.path.startswith(caches) for seen in before.seen)

        wait_until(lambda: arrived("HEAD"))
        vault.put("secret/tokens", {"username": "bob", "password": "second"})
        tokens.users["bob"] = "second"
        changed.set()
        wait_until(lambda: arrived(method))
        wait_until(lambda: time.time() > tokens.expired_at)
        asked = len(tokens.asked)
        expired.set()
        result = result_of(release.end())
    assert result["warnings"] == []
    assert result["caches"][0]["exported"] == f"{before.host}/caches/{folder.name}:buildcache"
    assert any(f"repository:caches/{folder.name}:pull,push" in scopes for scopes, _ in tokens.asked[asked:])

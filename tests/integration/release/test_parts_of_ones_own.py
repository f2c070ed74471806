"""Parts of one's own in place of embedded ones: a registry with a CA, a Vault, a private git server, an engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import RegistryTlsError, SourceDenied, UsageError
from prefect_slipway.infra.local.engine import usable_engine
from tests.certificates import make_certificates
from tests.engine import private_engine
from tests.faults import front
from tests.git_server import serve_git
from tests.integration.release.conftest import Release, git
from tests.servers import VaultServer, registry_server, vault_server

PASSWORD = "an-own-password"


@pytest.fixture
def own_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VaultServer]:
    """A Vault that the environment names, with a token that may read."""
    with vault_server(tmp_path / "vault") as vault:
        monkeypatch.setenv("VAULT_ADDR", vault.address)
        monkeypatch.setenv("VAULT_TOKEN", str(vault.token(policies=["root"], ttl="10m")["client_token"]))
        yield vault


async def test_a_registry_with_a_ca_of_its_own(
    run_release: Release, source: Path, own_vault: VaultServer, tmp_path: Path
) -> None:
    """HTTPS with a private CA: trusted by client and engine when it is named, refused when it is not."""
    certificates = make_certificates(tmp_path / "tls")
    with (
        registry_server(tmp_path / "registry", {"robot": PASSWORD}) as plain,
        front(plain, tls=certificates) as secure,
    ):
        own_vault.put("secret/own/registry", {"username": "robot", "password": PASSWORD})
        image = f"localhost:{secure.host.rpartition(':')[2]}/app"
        options = {"source": str(source), "image": image}
        place = ["vault:secret/own/registry"]
        result = await run_release(**options, credentials={"registries": place, "registry_ca": str(certificates.ca)})
        assert result.released
        other = make_certificates(tmp_path / "other")
        with pytest.raises(RegistryTlsError):
            await run_release(**options, credentials={"registries": place, "registry_ca": str(other.ca)})
        with pytest.raises(UsageError):
            await run_release(**options, credentials={"registries": place, "registry_ca": str(tmp_path / "absent.pem")})


async def test_a_private_git_server(
    run_release: Release, repository: Path, own_vault: VaultServer, tmp_path: Path
) -> None:
    """The git password comes from Vault, for fetching and for tagging; without it the server's refusal is told."""
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(tmp_path / "git" / "app.git"))
    git(tmp_path / "git" / "app.git", "config", "http.receivepack", "true")
    own_vault.put("secret/own/git", {"username": "robot", "password": PASSWORD})
    with (
        serve_git(tmp_path / "git", password=PASSWORD) as server,
        registry_server(tmp_path / "registry", None) as registry,
    ):
        source = server.url("app.git")
        with pytest.raises(SourceDenied):
            await run_release(source=source, image=f"{registry}/app")
        result = await run_release(
            source=source, image=f"{registry}/app", checkout={"credentials": "vault:secret/own/git"}
        )
        assert result.version == "0.1.0"
        assert git(tmp_path / "git" / "app.git", "rev-parse", "v0.1.0^{commit}") == result.revision


async def test_a_running_engine_is_used(
    run_release: Release, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that DOCKER_HOST names is found usable, and a release names it by its address."""
    with private_engine(tmp_path / "e") as address:
        monkeypatch.setenv("DOCKER_HOST", address.replace("docker://", "unix://"))
        assert usable_engine().address == address
        result = await run_release(
            source=str(source), builder={"address": address}, build={"network": "host", "allow": ["network.host"]}
        )
    assert result.released

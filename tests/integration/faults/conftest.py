"""A Vault and a registry of this folder, which its tests may spoil, besides the session's stack."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import Front, front
from tests.releases import DOCKERFILE, make_source, registry_tags
from tests.servers import VaultServer, registry_server, vault_server
from tests.warm import Ended, WarmStarter

USER, PASSWORD = "alice", "a-password-of-a-test"
SECRET = "secret/registry"
READS = 'path "secret/data/*" { capabilities = ["read"] }'

Make = Callable[..., Path]


@pytest.fixture
def source(tmp_path: Path) -> Make:
    """`source(dockerfile)`: a directory with it, named like no other's."""
    return lambda dockerfile=DOCKERFILE: make_source(tmp_path / f"app-{uuid.uuid4().hex[:8]}", dockerfile)


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    """With the registry's credential at `SECRET`."""
    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        server.put(SECRET, {"username": USER, "password": PASSWORD})
        server.root.call("POST", "sys/policies/acl/reads", {"policy": READS})
        yield server


@dataclass(frozen=True)
class OwnRegistry:
    """`host`: HOST:PORT. `home`: where its users are written."""

    host: str
    home: Path


@pytest.fixture(scope="session")
def own_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRegistry]:
    home = tmp_path_factory.mktemp("registry")
    with registry_server(home, {USER: PASSWORD}) as host:
        yield OwnRegistry(host, home)


@dataclass(frozen=True)
class Elsewhere:
    """Releases to this folder's registry through a front that spoils requests; their credential is in this Vault."""

    front: Front
    registry: OwnRegistry
    env: dict[str, str]
    commands: WarmStarter

    def options(self, source: Path) -> tuple[str, ...]:
        image = f"{self.front.host}/{source.name}"
        return ("release", str(source), "--image", image, "--credentials", f"vault:{SECRET}", "--format", "json")

    def release(self, source: Path, *more: str) -> Ended:
        return self.commands.run(*self.options(source), *more, env=self.env)

    def tags(self, source: Path) -> list[str]:
        return registry_tags(self.registry.host, source.name, (USER, PASSWORD))


@pytest.fixture
def elsewhere(vault: VaultServer, own_registry: OwnRegistry, commands: WarmStarter) -> Iterator[Elsewhere]:
    env = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token(policies=["reads"])["client_token"]}
    with front(own_registry.host) as before:
        yield Elsewhere(before, own_registry, env, commands)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for an engine's sockets (sun_path has 108 bytes, unix(7))."""
    with tempfile.TemporaryDirectory(prefix="sw", dir="/tmp") as folder:
        yield Path(folder)

"""A real registry, a real Vault with a key of each type, and images to sign."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from prefect_slipway.infra.signing.bundle import BUNDLE
from prefect_slipway.infra.vault.access import TokenAuth, VaultAccess
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath
from tests.contract.signing.tools import Tools
from tests.images import Pusher
from tests.servers import VaultServer, registry_server, vault_server
from tests.signers import KEY_TYPES


@dataclass(frozen=True)
class Stores:
    """What is attached to the images of one repository."""

    client: RegistryClient
    repository: str

    @property
    def tagged(self) -> TaggedAttachments:
        return TaggedAttachments(self.client, self.repository)

    @property
    def envelopes(self) -> TaggedAttachments:
        return TaggedAttachments(self.client, self.repository, suffix=".att", limit=1024 * 1024)

    @property
    def referrers(self) -> Referrers:
        return Referrers(self.client, self.repository, BUNDLE)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SLIPWAY_TEST_REGISTRY names another make, to be written to without a password, in plain HTTP."""
    if other := os.environ.get("SLIPWAY_TEST_REGISTRY"):
        yield other
        return
    with registry_server(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    """With a key of each of KEY_TYPES, and another one, in the Transit engine at `transit`."""
    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        server.root.call("POST", "sys/mounts/transit", {"type": "transit"})
        for kind in KEY_TYPES:
            server.root.call("POST", f"transit/keys/{kind}", {"type": kind})
        yield server


@pytest.fixture
async def session(vault: VaultServer) -> AsyncIterator[VaultSession]:
    """As root: what a token needs is tested with the vault package."""
    token = str(vault.token(policies=["root"], ttl="10m")["client_token"])
    async with VaultSession(VaultAccess(vault.address, TokenAuth(token))) as session:
        yield session


@pytest.fixture(params=KEY_TYPES)
def transit(request: pytest.FixtureRequest, session: VaultSession) -> TransitKey:
    """A key of each type."""
    return TransitKey(session, TransitPath("transit", request.param))


@pytest.fixture
def image(registry: str) -> ImageReference:
    """An image in a repository of its own, by its digest."""
    repository = f"team/app-{uuid.uuid4().hex[:8]}"
    with Pusher(registry, repository, None) as pusher:
        digest = pusher.image("1.0.0")["digest"]
    return ImageReference(registry, repository, digest=digest)


@pytest.fixture
async def stores(registry: str, image: ImageReference) -> AsyncIterator[Stores]:
    async with RegistryClient(registry, Anonymous(), insecure=True, ca_file=None) as client:
        yield Stores(client, image.repository)


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)

"""One real registry for the tests of this folder; each test has a repository of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.registry.client import RegistryClient
from tests.images import Pusher
from tests.servers import registry_server
from tests.waiting import PATIENCE_S

USER, PASSWORD = "alice", "a-password-of-a-test"


class Fixed:
    """A credential source that counts how often it is asked; the last of its credentials is given for ever."""

    def __init__(self, *credentials: Credential | None) -> None:
        self.credentials = list(credentials)
        self.hosts: list[str] = []

    async def credential(self, host: str) -> Credential | None:
        self.hosts.append(host)
        return self.credentials.pop(0) if len(self.credentials) > 1 else self.credentials[0]


def alice() -> Fixed:
    return Fixed(Credential(USER, PASSWORD))


def client(host: str, credentials: Fixed | None = None, *, timeout_s: float = PATIENCE_S) -> RegistryClient:
    """A client in plain HTTP, as alice unless told otherwise."""
    return RegistryClient(host, credentials or alice(), insecure=True, ca_file=None, timeout_s=timeout_s)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry"), {USER: PASSWORD}) as host:
        yield host


@pytest.fixture
def repository() -> str:
    return f"team/app-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def pusher(registry: str, repository: str) -> Iterator[Pusher]:
    with Pusher(registry, repository, (USER, PASSWORD)) as pusher:
        yield pusher

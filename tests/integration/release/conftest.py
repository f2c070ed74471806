"""Releases run in this process against the session's real stack, and the sources they are made from."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import OpenRun, open_run
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.vault.transit import TransitPath
from tests.conftest import RunningStack
from tests.integration.release.keys import KEY, Place
from tests.releases import Traces, registry_login
from tests.servers import vault_server

Release = Callable[..., Awaitable[ReleaseResult]]

DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY message /message
"""


def pytest_itemcollected(item: pytest.Item) -> None:
    # Prefect keeps its clients' connections in caches and leaves them to the garbage collector.
    for message in ("unclosed", "Exception ignored in"):
        item.add_marker(pytest.mark.filterwarnings(f"ignore:{message}"))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    # So that they go while their warnings are ignored, not in the middle of another folder's test.
    gc.collect()


@pytest.fixture(autouse=True)
def against_the_stack(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack's environment, whole: nothing of the developer's own servers is reached."""
    for name in list(os.environ):
        if name not in stack.env and name.startswith(("SLIPWAY_", "PREFECT_", "VAULT_")):
            monkeypatch.delenv(name)
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def prefect_client(stack: RunningStack) -> Iterator[None]:
    """Prefect's client side; what it has not sent yet is sent before the server goes."""
    yield
    APILogWorker.drain_all(timeout=20)
    EventsWorker.drain_all(timeout=20)


@pytest.fixture
async def run_release(stack: RunningStack, prefect_client: None) -> AsyncIterator[Release]:
    """`await run_release(source=..., bump=...)`: a release recorded by the stack's Prefect server."""
    settings = {
        PREFECT_API_URL: stack.connection.prefect_api_url,
        PREFECT_UI_URL: stack.connection.prefect_ui_url,
    }

    async def run(**fields: object) -> ReleaseResult:
        return await release(ReleaseRequest.read(fields))

    with temporary_settings(settings):
        yield run


@pytest.fixture
async def opened(stack: RunningStack) -> AsyncIterator[OpenRun]:
    """What a release has open, to look at the world with."""
    async with open_run(ReleaseRequest()) as run:
        yield run


@pytest.fixture
async def registry(opened: OpenRun) -> RegistryClient:
    """The stack's registry, with the credential from Vault."""
    image = opened.image("any")
    return await opened.registries(image.registry).client(image)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, traces: Traces) -> Iterator[Place]:
    """The token may read the credential and sign with one key, no more."""
    user, password = registry_login(traces.connection)
    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        server.put("secret/registry", {"username": user, "password": password})
        server.root.call("POST", "sys/mounts/transit", {"type": "transit"})
        for name in ("release", "other"):
            server.root.call("POST", f"transit/keys/{name}", {"type": "ecdsa-p256"})
        rules = [TransitPath.parse(KEY).policy, 'path "secret/data/registry" { capabilities = ["read"] }']
        server.root.call("POST", "sys/policies/acl/signer", {"policy": "\n".join(rules)})
        token = server.token(policies=["signer"])["client_token"]
        yield Place(
            server,
            {"VAULT_ADDR": server.address, "VAULT_TOKEN": str(token)},
            ("--credentials", "vault:secret/registry", "--format", "json"),
        )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory outside of git with a small image's Dockerfile; its name is unique to the test."""
    return make_source(tmp_path / f"app-{abs(hash(tmp_path)) % 10**8}")


@pytest.fixture
def repository(source: Path) -> Path:
    """The same as a git repository with one commit."""
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: first")
    return source


def make_source(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "message").write_text("hello\n")
    shutil.copy("/bin/busybox", folder / "busybox")
    return folder


def git(repository: Path, *arguments: str) -> str:
    """git as some user, with nothing of this machine's configuration."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }
    done = subprocess.run(["git", *arguments], cwd=repository, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(repository: Path, message: str, /, **files: str) -> str:
    """Commit everything, with these files changed; gives the revision."""
    for name, text in files.items():
        (repository / name).write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(repository, "rev-parse", "HEAD")

"""Sources whose versions are in the registry, in a git repository, or in its remote."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import Front, front
from tests.git_repository import commit, git, make_bare
from tests.releases import BASE, Traces, digest_of_tag, make_source, registry_login, run_line
from tests.servers import vault_server

# The build takes long enough for a kill in the middle of it; what it says is told from the Dockerfile's own text.
BUILDING = "42 now"


def dockerfile() -> str:
    """One whose step nobody has built before."""
    return BASE + run_line(f"echo $((6*7)) now {uuid.uuid4().hex}; exec sleep 1")


@dataclass(frozen=True)
class Place:
    """A source, and everything that may hold its versions."""

    source: Path
    git: Path | None
    traces: Traces

    @property
    def name(self) -> str:
        return self.source.name

    def tags(self) -> list[str]:
        """The registry's."""
        return self.traces.tags(self.name)

    def digest(self, tag: str) -> str:
        connection = self.traces.connection
        return digest_of_tag(str(connection.registry), self.name, tag, registry_login(connection))

    def change(self) -> None:
        """Make it another source, as a person does."""
        (self.source / "Dockerfile").write_text(dockerfile())
        if self.git is not None:
            commit(self.source, "feat: change", {})

    def assert_released(self, *versions: str) -> None:
        """These versions are there, each once, in the registry and in git; and nothing else is left anywhere."""
        assert self.tags() == sorted(versions)
        if self.git is not None:
            refs = git(self.git, "for-each-ref", "--format=%(refname)").split()
            assert refs == sorted(["refs/heads/main", *(f"refs/tags/v{version}" for version in versions)])
        self.traces.assert_nothing_left()


def place(kind: str, folder: Path, traces: Traces) -> Place:
    source = make_source(folder / f"app-{uuid.uuid4().hex[:8]}", dockerfile())
    if kind == "directory":
        return Place(source, None, traces)
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: begin", {})
    if kind == "repository":
        return Place(source, source, traces)
    remote = make_bare(folder / "remote.git", source)
    git(source, "remote", "add", "origin", str(remote))
    return Place(source, remote, traces)


@pytest.fixture(params=["directory", "repository", "remote"])
def everywhere(request: pytest.FixtureRequest, tmp_path: Path, traces: Traces) -> Place:
    """One place of each kind."""
    return place(request.param, tmp_path, traces)


@pytest.fixture(params=["directory", "remote"])
def both(request: pytest.FixtureRequest, tmp_path: Path, traces: Traces) -> Place:
    """One place for each of the two ledgers."""
    return place(request.param, tmp_path, traces)


@pytest.fixture
def directory(tmp_path: Path, traces: Traces) -> Place:
    return place("directory", tmp_path, traces)


@pytest.fixture
def remote(tmp_path: Path, traces: Traces) -> Place:
    return place("remote", tmp_path, traces)


@dataclass(frozen=True)
class Detour:
    """The stack's registry behind a front. `options`, `env`: for releases that go there."""

    front: Front
    env: Mapping[str, str]

    def options(self, name: str) -> tuple[str, ...]:
        return ("--image", f"{self.front.host}/{name}", "--credentials", "vault:secret/registry", "--format", "json")


@pytest.fixture(scope="session")
def any_name(tmp_path_factory: pytest.TempPathFactory, traces: Traces) -> Iterator[dict[str, str]]:
    """The environment of a Vault that has the credential of the stack's registry, by whatever name it is reached."""
    user, password = registry_login(traces.connection)
    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        server.put("secret/registry", {"username": user, "password": password})
        token = server.token(policies=["root"])["client_token"]
        yield {"VAULT_ADDR": server.address, "VAULT_TOKEN": str(token)}


@pytest.fixture
def detour(traces: Traces, any_name: dict[str, str]) -> Iterator[Detour]:
    with front(str(traces.connection.registry)) as before:
        yield Detour(before, any_name)


def hold_tags_for(repository: Path, reservations: int) -> None:
    """Let pushes of tags to a bare repository wait until so many versions were reserved there at one time."""
    hook = repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\ngrep -q refs/tags/ || exit 0\nuntil [ -e "$GIT_DIR/all" ]; do sleep 0.1\n'
        f'test "$(git for-each-ref refs/slipway | wc -l)" -lt {reservations} || touch "$GIT_DIR/all"\ndone\n'
    )
    hook.chmod(0o755)


def hold_tags(repository: Path) -> None:
    """Let pushes of tags to a bare repository wait until `let_tags_pass`, and then fail: their client was killed, and
    git's server would go on without it."""
    hook = repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\ngrep -q refs/tags/ || exit 0\ntouch "$GIT_DIR/holding"\n'
        'while [ -e "$GIT_DIR/held" ]; do sleep 0.1; done\nexit 1\n'
    )
    hook.chmod(0o755)
    (repository / "held").touch()


def a_tag_is_held(repository: Path) -> bool:
    """Whether a push waits: from then on it fails, also when its client is killed."""
    return (repository / "holding").exists()


def let_tags_pass(repository: Path) -> None:
    (repository / "held").unlink()
    (repository / "holding").unlink()
    (repository / "hooks" / "pre-receive").unlink()

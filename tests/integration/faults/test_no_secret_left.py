"""Nothing that a release leaves, says or shows while it runs holds a byte of its credentials."""

from __future__ import annotations

import base64
import gzip
import io
import json
import secrets
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import patient
from tests.conftest import SLIPWAY, RunningStack
from tests.faults import front
from tests.git_repository import commit, git, make_bare
from tests.git_server import serve_git
from tests.integration.faults.haystack import Needles
from tests.integration.faults.watcher import Sightings, watched_processes
from tests.releases import BASE, make_source, registry_login, run_line
from tests.servers import registry_server, vault_server
from tests.waiting import PATIENCE_S

POLICY = 'path "secret/data/*" { capabilities = ["read"] }'


@dataclass(frozen=True)
class Release:
    """One that was run as people run it. `own`: the secrets that its user put into its environment."""

    pid: int
    code: int
    stdout: str
    stderr: str
    own: frozenset[str] = frozenset()


def run(
    *arguments: str | Path, env: Mapping[str, str], own: frozenset[str] = frozenset(), stop_at: str = ""
) -> Release:
    """`slipway ARGUMENTS`; `stop_at`: Ctrl-C when it says that."""
    process = subprocess.Popen(
        [SLIPWAY, "release", *arguments, "--format", "json"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    if stop_at:
        for line in process.stderr:
            said += line
            if stop_at in line:
                process.send_signal(signal.SIGINT)
                break
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Release(process.pid, process.returncode, stdout, said + stderr, own)


@dataclass(frozen=True)
class Aftermath:
    """Releases that ended well, badly and by Ctrl-C, and all that is left of them.

    `canary`: no secret, but in the image and in the build's log. `left_out`: files made for a secret.
    """

    needles: Needles
    releases: list[Release]
    sightings: Sightings
    stack: RunningStack
    folders: list[Path]
    left_out: list[Path]
    canary: str


@pytest.fixture(scope="module")
def aftermath(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("releases")
    registry_home, vault_home = tmp_path_factory.mktemp("registry"), tmp_path_factory.mktemp("vault")
    password, wrong, git_password = (secrets.token_urlsafe(24) for _ in range(3))
    canary = secrets.token_urlsafe(24)
    app = make_source(folder / "app-secrets", BASE + "COPY canary /canary\n" + run_line("cat /canary"))
    (app / "canary").write_text(canary)
    slow = make_source(folder / "app-secrets-slow", BASE + run_line("echo $((6*7)) now; exec sleep 60"))
    git(app, "init", "--quiet", "--initial-branch=main")
    commit(app, "feat: begin", {})
    bare = make_bare(folder / "served" / "app-secrets-fetched.git", app)
    git(bare, "config", "http.receivepack", "true")

    with ExitStack() as exits:
        host = exits.enter_context(registry_server(registry_home, {"alice": password}))
        vault = exits.enter_context(vault_server(vault_home))
        vault.put("secret/registry", {"username": "alice", "password": password})
        vault.put("secret/wrong", {"username": "alice", "password": wrong})
        vault.put("secret/git", {"username": "robot", "password": git_password})
        server = exits.enter_context(serve_git(bare.parent, password=git_password))
        asked = exits.enter_context(front(f"127.0.0.1:{vault.port}"))
        role = vault.approle("release", POLICY)
        own = frozenset({role["secret_id"]})
        env = {
            **stack.env,
            "VAULT_ADDR": f"http://{asked.host}",
            "VAULT_ROLE_ID": role["role_id"],
            "VAULT_SECRET_ID": role["secret_id"],
        }
        user, embedded = registry_login(stack.connection)
        assert stack.connection.approle_file is not None
        embedded_role = json.loads(stack.connection.approle_file.read_text())["secret_id"]
        known = [
            *(password, wrong, git_password, embedded, role["secret_id"], embedded_role),
            *(f"alice:{password}", f"alice:{wrong}", f"robot:{git_password}", f"{user}:{embedded}"),
        ]
        with watched_processes(Needles(known)) as sightings:
            image = ("--image", f"{host}/app-secrets", "--credentials")
            releases = [
                run(app, "--git-remote", "-", env=stack.env),
                run(slow, env=stack.env, stop_at="42 now"),
                run(app, *image, "vault:secret/registry", env=env, own=own),
                run(app, *image, "vault:secret/wrong", env=env, own=own),
                run(
                    *(server.url("app-secrets-fetched.git"), "--git-credentials", "vault:secret/git"),
                    *("--image", f"{host}/app-secrets-fetched", "--credentials", "vault:secret/registry"),
                    env=env,
                    own=own,
                ),
            ]
        tokens = {seen.headers["X-Vault-Token"] for seen in asked.seen if seen.headers.get("X-Vault-Token")}
        assert tokens, "the releases used tokens of Vault"
        left_out = [stack.connection.approle_file]
        folders = [stack.connection.home, registry_home, vault_home, folder]
        yield Aftermath(Needles([*known, *tokens]), releases, sightings, stack, folders, left_out, canary)


def test_the_releases_ended_as_they_should(aftermath: Aftermath) -> None:
    """Three released, one interrupted, one refused: what is searched is what they leave."""
    assert [release.code for release in aftermath.releases] == [0, 130, 0, 1, 0], [
        release.stderr for release in aftermath.releases
    ]
    assert "401" in aftermath.releases[3].stderr


def test_nothing_on_the_terminal(aftermath: Aftermath) -> None:
    """Neither what is printed nor what is said on the way."""
    for release in aftermath.releases:
        assert aftermath.needles.in_bytes((release.stdout + release.stderr).encode()) == set()


def test_nothing_in_any_file(aftermath: Aftermath) -> None:
    """The whole SLIPWAY_HOME (Prefect's database and results, logs, the engine's and the registry's stores with their
    layers, Vault's own storage), the sources, and the file of the role aside, which is for its owner alone."""
    for folder in aftermath.folders:
        assert aftermath.needles.in_folder(folder, but=aftermath.left_out) == {}
    for path in aftermath.left_out:
        assert path.stat().st_mode & 0o077 == 0


def test_the_search_reaches_all_places(aftermath: Aftermath) -> None:
    """What is no secret is found where images and logs are: both registries, the engine's store, Prefect's database."""
    home, registry_home, *_ = aftermath.folders
    canary = Needles([aftermath.canary])
    for place in (home / "registry", home / "engine", home / "prefect", registry_home):
        assert canary.in_folder(place), place


def test_nothing_in_prefects_tables(aftermath: Aftermath) -> None:
    """Read through SQLite as well: long values are cut up in its file, and the newest are in its log."""
    database = aftermath.stack.connection.home / "prefect" / "prefect.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert "app-secrets" in dump
    assert aftermath.needles.in_bytes(dump.encode()) == set()


def test_nothing_in_prefects_answers(aftermath: Aftermath) -> None:
    """Runs with their parameters and states, task runs, logs and artifacts, as everybody can ask for them."""
    api = aftermath.stack.connection.prefect_api_url
    for kind in ("flow_runs", "task_runs", "logs", "artifacts"):
        answers = list(_all_of(api, kind))
        assert answers, kind
        assert aftermath.needles.in_bytes(json.dumps(answers).encode()) == set(), kind


def _all_of(api: str, kind: str) -> Iterator[dict[str, Any]]:
    offset = 0
    while True:
        answer = patient.post(f"{api}/{kind}/filter", json={"offset": offset, "limit": 200})
        page = answer.raise_for_status().json()
        yield from page
        offset += len(page)
        if len(page) < 200:
            return


def test_nothing_in_arguments_and_environments(aftermath: Aftermath) -> None:
    """Of no process on the machine while they ran, but for what the user has put into the release's own."""
    assert {release.pid for release in aftermath.releases} <= aftermath.sightings.looked_at
    # A child between its fork and its exec is still the release itself, by name and environment.
    given = {("slipway", "environ"): frozenset[str]().union(*(release.own for release in aftermath.releases))}
    unexpected = [
        (program, where, hits)
        for _, where, program, hits in aftermath.sightings.found
        if not hits <= given.get((program, where), frozenset())
    ]
    assert unexpected == []


def _layer(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("etc/password")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


@pytest.mark.parametrize(
    "hide",
    [
        lambda secret: secret,
        lambda secret: b"x" * 3_000_000 + secret,
        lambda secret: b"x" * ((1 << 20) - 5) + secret,
        lambda secret: b"Basic " + base64.b64encode(b"alice:" + secret),
        lambda secret: base64.b64encode(b"a:" + secret + b"\n"),
        lambda secret: base64.urlsafe_b64encode(b"ab:" + secret),
        lambda secret: secret.hex().encode(),
        lambda secret: _layer(b"password=" + secret),
        lambda secret: _layer(b"x" * 2_000_000 + secret)[:-8],
    ],
    ids=["plain", "far in", "across two reads", "basic", "base64", "base64 for urls", "hex", "layer", "cut layer"],
)
def test_the_search_finds_what_is_planted(tmp_path: Path, hide: Any) -> None:
    """In a file, encoded, in a compressed layer: a search that could not find would prove nothing."""
    secret = secrets.token_urlsafe(24)
    path = tmp_path / "deep" / "down"
    path.parent.mkdir()
    path.write_bytes(hide(secret.encode()))
    (tmp_path / "harmless").write_bytes(gzip.compress(b"nothing"))
    assert Needles([secret]).in_folder(tmp_path) == {path: {secret}}
    assert Needles([secrets.token_urlsafe(24)]).in_folder(tmp_path) == {}


def test_the_search_finds_names_and_links(tmp_path: Path) -> None:
    """A secret may be in a file's name or a link's target."""
    (tmp_path / "x-hidden-treasure").touch()
    (tmp_path / "link").symlink_to("hidden-treasure")
    assert set(Needles(["hidden-treasure"]).in_folder(tmp_path)) == {tmp_path / "x-hidden-treasure", tmp_path / "link"}


def test_the_watch_sees_a_child_of_a_moment(tmp_path: Path) -> None:
    """Arguments and environment of a short process are seen."""
    secret = secrets.token_urlsafe(24)
    program = [sys.executable, "-c", "import time; time.sleep(0.3)"]
    with watched_processes(Needles([secret])) as sightings:
        subprocess.run([*program, secret], check=True)
        subprocess.run(program, env={"TOKEN": secret}, check=True)
    assert {where for _, where, _, _ in sightings.found} == {"cmdline", "environ"}

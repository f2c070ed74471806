"""Fetching git revisions from real servers: files, HTTP with and without a password, submodules, faults, cancelling."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from prefect_slipway.infra.common.processes import this_process
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import (
    InvalidOption,
    LfsFilesMissing,
    RefUnknown,
    SourceDenied,
    SourceMissing,
    SourceTlsError,
    SourceUnreachable,
)
from prefect_slipway.infra.source.branch_writer import remote_branch
from prefect_slipway.infra.source.command import Remote
from prefect_slipway.infra.source.commits import SLIPWAY, Commit
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from prefect_slipway.infra.source.history import History
from prefect_slipway.infra.source.ledger import GitLedger
from prefect_slipway.infra.source.url import GitUrl
from tests.certificates import make_certificates
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import GitServer, serve_git
from tests.ports import free_port
from tests.waiting import PATIENCE_S

PASSWORD = "hidden-treasure-4711"


class Robot:
    """Credentials of the server's user; `asked` is every host they were asked for."""

    def __init__(self, password: str = PASSWORD) -> None:
        self._password = password
        self.asked: list[str] = []

    async def credential(self, host: str) -> Credential | None:
        self.asked.append(host)
        return Credential("robot", self._password)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A work tree with a branch, two tags and a subdirectory."""
    work = make_repository(tmp_path / "origin", {"Dockerfile": "FROM scratch\n", "app/main.txt": "one\n"})
    git(work, "tag", "v1.0.0")
    commit(work, "feat: two", {"app/main.txt": "two\n"})
    git(work, "tag", "--annotate", "--message", "second", "v2.0.0")
    git(work, "switch", "--quiet", "--create", "topic")
    commit(work, "feat: topic", {"app/main.txt": "topic\n"})
    git(work, "switch", "--quiet", "main")
    return work


@pytest.fixture
def bare(origin: Path, tmp_path: Path) -> Path:
    return make_bare(tmp_path / "served" / "app.git", origin)


@pytest.fixture
def server(bare: Path) -> Iterator[GitServer]:
    with serve_git(bare.parent) as running:
        yield running


def left(workdir: Path) -> list[Path]:
    return list(workdir.iterdir()) if workdir.exists() else []


@pytest.mark.parametrize("form", ["path", "file", "http", "git+http"])
async def test_a_repository_is_fetched_in_every_form(form: str, bare: Path, server: GitServer, tmp_path: Path) -> None:
    """A path, file:// and http give the same revision; the tree has no .git and the files' modes are fixed."""
    url = {
        "path": str(bare),
        "file": bare.as_uri(),
        "http": server.url("app.git"),
        "git+http": f"git+{server.url('app.git')}",
    }[form]
    before = os.umask(0o077)
    try:
        checkout = await fetch_git(url, ref=None, workdir=tmp_path / "work")
    finally:
        os.umask(before)
    async with checkout:
        assert checkout.revision == git(bare, "rev-parse", "main")
        assert checkout.fingerprint == f"git:{checkout.revision}:"
        assert checkout.committed_at == int(git(bare, "show", "-s", "--format=%ct", "main"))
        assert checkout.name == "app"
        assert checkout.is_repository_root
        assert not checkout.dirty
        assert sorted(path.name for path in checkout.path.iterdir()) == ["Dockerfile", "app"]
        assert (checkout.path / "app/main.txt").read_text() == "two\n"
        assert (checkout.path / "app/main.txt").stat().st_mode & 0o777 == 0o644
        assert (checkout.path / "app").stat().st_mode & 0o777 == 0o755
        assert checkout.source_url == (server.url("app.git") if "http" in form else None)
    assert left(tmp_path / "work") == []


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize("default", ["sha1", "sha256"])
async def test_the_object_format_is_the_remotes(
    object_format: str, default: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this machine's git uses for new repositories; its history and its tags can be read and written."""
    monkeypatch.setenv("GIT_DEFAULT_HASH", object_format)
    work = make_repository(tmp_path / "work")
    git(work, "tag", "v1.0.0")
    revision = commit(work, "fix: two", {"file": "two"})
    bare = make_bare(tmp_path / "bare", work)
    monkeypatch.setenv("GIT_DEFAULT_HASH", default)
    for ref in (None, "main", revision):
        async with await fetch_git(f"file://{bare}", ref=ref, workdir=tmp_path / "sources") as checkout:
            assert checkout.revision == revision
            ledger = await GitLedger.open(checkout, prefix="v")
            assert [str(version) for version in await ledger.versions()] == ["1.0.0"]
    async with remote_branch(Remote(GitUrl.parse(f"file://{bare}")), "main", tmp_path / "sources") as branch:
        made = await branch.commit(Commit({"file": "three"}, "docs: three\n"), SLIPWAY)
        assert await branch.push(made, "main", revision)
    assert git(bare, "show", "main:file") == "three"
    assert left(tmp_path / "sources") == []


async def test_exactly_the_ref_is_fetched(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """A branch, a lightweight and an annotated tag, a full ref and a commit id give their commit, without history."""
    old = git(bare, "rev-parse", "v1.0.0")
    for ref, expected in {
        "topic": "topic",
        "v1.0.0": "v1.0.0",
        "v2.0.0": "v2.0.0^{commit}",
        "refs/heads/topic": "topic",
        old: "v1.0.0",
    }.items():
        async with await fetch_git(server.url("app.git"), ref=ref, workdir=tmp_path / "work") as checkout:
            assert checkout.revision == git(bare, "rev-parse", expected)
            assert checkout.repository is not None
            assert git(checkout.repository, "rev-list", "--count", "HEAD") == "1"


async def test_a_tag_goes_before_a_branch_of_its_name(bare: Path, tmp_path: Path) -> None:
    """Ambiguous names mean what they mean everywhere in git."""
    git(bare, "update-ref", "refs/heads/v1.0.0", "topic")
    async with await fetch_git(str(bare), ref="v1.0.0", workdir=tmp_path / "work") as checkout:
        assert checkout.revision == git(bare, "rev-parse", "refs/tags/v1.0.0")


async def test_a_server_that_refuses_commit_ids_is_asked_for_everything(server: GitServer, tmp_path: Path) -> None:
    """With the old protocol a server may forbid ids that no ref shows; a branch's ancestor is found all the same."""
    bare = server.root / "app.git"
    git(bare, "tag", "--delete", "v1.0.0")
    ancestor = git(bare, "rev-parse", "main~1")
    with pytest.MonkeyPatch.context() as patch:
        for number, (key, value) in enumerate({"protocol.version": "0"}.items()):
            patch.setenv(f"GIT_CONFIG_KEY_{number}", key)
            patch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
        patch.setenv("GIT_CONFIG_COUNT", "1")
        async with await fetch_git(server.url("app.git"), ref=ancestor, workdir=tmp_path / "work") as checkout:
            assert (checkout.revision, checkout.branch) == (ancestor, "")
            assert (checkout.path / "app/main.txt").read_text() == "one\n"


async def test_a_subdirectory_is_the_context(bare: Path, tmp_path: Path) -> None:
    """The path is inside the repository, which is no longer the whole source."""
    async with await fetch_git(str(bare), ref=None, subdirectory="./app/", workdir=tmp_path / "work") as checkout:
        assert [path.name for path in checkout.path.iterdir()] == ["main.txt"]
        assert checkout.subdirectory == "app"
        assert checkout.name == "app"
        assert checkout.fingerprint == f"git:{checkout.revision}:app"
        assert not checkout.is_repository_root


async def test_a_subdirectory_may_not_lead_outside(origin: Path, tmp_path: Path) -> None:
    """Neither by dots nor by a symbolic link in the repository; a missing one is said."""
    (origin / "out").symlink_to("/etc")
    commit(origin, "feat: link", {})
    with pytest.raises(InvalidOption):
        await fetch_git(str(origin), ref=None, subdirectory="../x", workdir=tmp_path / "work")
    for missing in ("out", "nowhere", "Dockerfile"):
        with pytest.raises(SourceMissing, match=missing):
            await fetch_git(str(origin), ref=None, subdirectory=missing, workdir=tmp_path / "work")
    assert left(tmp_path / "work") == []


async def test_faults_have_names_and_leave_nothing(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """Unknown ref and id, no repository, refused, server trouble, nobody there: each its own cause."""
    workdir = tmp_path / "work"
    url = server.url("app.git")

    async def fails(kind: type[Exception], url: str, ref: str | None = None) -> str:
        with pytest.raises(kind) as caught:
            await fetch_git(url, ref=ref, workdir=workdir)
        assert left(workdir) == []
        return str(caught.value)

    assert "ref nowhere: no such ref" in await fails(RefUnknown, url, "nowhere")
    await fails(RefUnknown, url, "1" * 40)
    await fails(RefUnknown, str(bare), "1" * 40)
    await fails(SourceMissing, server.url("other.git"))
    await fails(SourceMissing, str(tmp_path / "nothing"))
    await fails(SourceMissing, (tmp_path / "nothing").as_uri())
    for status, kind in {401: SourceDenied, 403: SourceDenied, 404: SourceMissing, 500: SourceUnreachable}.items():
        server.status = status
        await fails(kind, url)
    await fails(SourceUnreachable, f"http://127.0.0.1:{free_port()}/app.git")
    await fails(SourceUnreachable, "http://no-such-host.invalid/app.git")
    await fails(SourceUnreachable, f"ssh://127.0.0.1:{free_port()}/app.git")


async def test_dangerous_addresses_and_refs_are_refused(tmp_path: Path) -> None:
    """Options, helpers that run programs, unknown protocols, odd refs and passwords in URLs never reach git."""
    mark = tmp_path / "mark"
    for url in (
        f"ext::sh -c 'touch {mark}'",
        "--upload-pack=touch",
        "-x",
        "ftp://example.com/x.git",
        "git://example.com/x.git",
        "ssh://-oProxyCommand=touch/x",
        "-oProxyCommand=x:y",
        "https://user:secret@example.com/x.git",
        "https://example.com/x\n.git",
        "",
    ):
        with pytest.raises(InvalidOption) as caught:
            await fetch_git(url, ref=None, workdir=tmp_path / "work")
        assert "secret" not in str(caught.value)
    for ref in ("--upload-pack=x", "+main", "a b", "a:b", "main~1", "^main", "a..b", "@{u}", "", "x.lock", "/x"):
        with pytest.raises(InvalidOption):
            await fetch_git("https://example.com/x.git", ref=ref, workdir=tmp_path / "work")
    assert not mark.exists()


async def test_a_private_repository_takes_the_credential(server: GitServer, tmp_path: Path) -> None:
    """With its credential it is fetched; without, or with a wrong one, access is denied, and no secret is shown."""
    server.password = PASSWORD
    robot = Robot()
    async with await fetch_git(
        server.url("app.git"), ref=None, credentials=robot, workdir=tmp_path / "work"
    ) as checkout:
        assert set(robot.asked) == {server.host}
        found = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
        assert found == []
        assert checkout.source_url == server.url("app.git")
    for credentials in (None, Robot("wrong-password-1")):
        with pytest.raises(SourceDenied) as caught:
            await fetch_git(server.url("app.git"), ref=None, credentials=credentials, workdir=tmp_path / "work")
        assert "wrong-password-1" not in str(caught.value) + repr(caught.value.__dict__)


async def test_the_credential_is_in_no_argument_and_no_environment(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While git runs, no process of this machine shows the password, and the user's own helpers never see it."""
    server.password = PASSWORD
    stored = tmp_path / "stored"
    config = tmp_path / "gitconfig"
    helper = f"store --file={stored}"
    config.write_text(f'[credential]\n\thelper = {helper}\n[credential "http://{server.host}"]\n\thelper = {helper}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_TRACE_REDACT", "0")
    shown: list[str] = []
    seen_git = threading.Event()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in psutil.process_iter():
                try:
                    command = process.cmdline()
                    text = " ".join(command) + repr(process.environ())
                except psutil.Error:
                    continue
                if "git-remote-http" in " ".join(command):
                    seen_git.set()
                if PASSWORD in text:
                    shown.append(text)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(20):
            async with await fetch_git(server.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "work"):
                pass
            if seen_git.is_set():
                break
    finally:
        done.set()
        watcher.join()
    assert seen_git.is_set()
    assert shown == []
    assert not stored.exists()
    assert not (tmp_path / "trace").exists()


async def test_another_host_never_gets_the_credential(server: GitServer, tmp_path: Path) -> None:
    """A server that redirects elsewhere does not pass the password on."""
    with serve_git(server.root, password="something else") as other:
        server.password = None
        server.redirect = other.url("").rstrip("/")
        with pytest.raises(SourceDenied):
            await fetch_git(server.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "work")
        assert other.seen == []


async def test_a_redirect_to_another_host_is_said(
    server: GitServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is followed without the password, and the log says where to."""
    with serve_git(server.root) as other, caplog.at_level("INFO", logger="prefect_slipway.infra.source"):
        server.redirect = other.url("").rstrip("/")
        async with await fetch_git(server.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "work"):
            pass
        assert f"{server.url('app.git')} redirects to {other.url('app.git')}" in caplog.text
        assert other.seen == []


async def test_a_redirect_from_https_to_http_is_not_followed(origin: Path, server: GitServer, tmp_path: Path) -> None:
    """Not by git itself either: the password is not sent, and nothing is taken from there."""
    made = make_certificates(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    with (
        serve_git(server.root, tls=context, redirect=server.url("").rstrip("/")) as secure,
        pytest.raises(SourceTlsError, match="from https to http"),
    ):
        await fetch_git(
            secure.url("app.git"), ref=None, credentials=Robot(), ca_file=made.ca, workdir=tmp_path / "work"
        )
    assert server.seen == []
    assert left(tmp_path / "work") == []


@pytest.fixture
def with_submodule(origin: Path, server: GitServer) -> GitServer:
    """The served repository has a submodule beside it, which has one itself."""
    inner = make_bare(server.root / "inner.git", make_repository(server.root.parent / "inner", {"deep": "deep\n"}))
    library = make_repository(server.root.parent / "library", {"lib.txt": "lib\n"})
    git(library, "submodule", "--quiet", "add", str(inner), "inner")
    git(library, "config", "--file=.gitmodules", "submodule.inner.url", "../inner.git")
    commit(library, "feat: inner", {})
    make_bare(server.root / "library.git", library)
    git(origin, "submodule", "--quiet", "add", str(server.root / "library.git"), "third party")
    git(origin, "config", "--file=.gitmodules", "submodule.third party.url", "../library.git")
    commit(origin, "feat: library", {})
    git(origin, "push", "--quiet", str(server.root / "app.git"), "main")
    return server


async def test_submodules_are_fetched_on_request(with_submodule: GitServer, tmp_path: Path) -> None:
    """Nested and private submodules come with it, without a trace of where they were put; else they stay empty."""
    server = with_submodule
    server.password = PASSWORD
    url = server.url("app.git")
    async with await fetch_git(url, ref=None, credentials=Robot(), workdir=tmp_path / "work") as checkout:
        assert list((checkout.path / "third party").iterdir()) == []
        plain = checkout.fingerprint
    async with await fetch_git(
        url, ref=None, submodules=True, credentials=Robot(), workdir=tmp_path / "work"
    ) as checkout:
        assert (checkout.path / "third party/lib.txt").read_text() == "lib\n"
        assert (checkout.path / "third party/inner/deep").read_text() == "deep\n"
        assert list(checkout.path.rglob(".git")) == []
        assert checkout.fingerprint != plain


async def test_a_submodule_may_not_read_this_machine(origin: Path, server: GitServer, tmp_path: Path) -> None:
    """A remote repository whose submodule points to a local path does not get it."""
    secret = make_repository(tmp_path / "secret", {"key": "private\n"})
    git(origin, "submodule", "--quiet", "add", str(secret), "stolen")
    commit(origin, "feat: steal", {})
    git(origin, "push", "--quiet", str(server.root / "app.git"), "main")
    with pytest.raises(Exception, match="submodule"):
        await fetch_git(server.url("app.git"), ref=None, submodules=True, workdir=tmp_path / "work")
    assert left(tmp_path / "work") == []


async def test_a_missing_submodule_is_said(origin: Path, server: GitServer, tmp_path: Path) -> None:
    """The error tells that it was a submodule."""
    gone = make_repository(tmp_path / "gone")
    git(origin, "submodule", "--quiet", "add", str(gone), "gone")
    git(origin, "config", "--file=.gitmodules", "submodule.gone.url", "../gone.git")
    commit(origin, "feat: gone", {})
    git(origin, "push", "--quiet", str(server.root / "app.git"), "main")
    with pytest.raises(SourceMissing, match="a submodule of"):
        await fetch_git(server.url("app.git"), ref=None, submodules=True, workdir=tmp_path / "work")


@pytest.fixture
def with_lfs(origin: Path, server: GitServer) -> GitServer:
    """The served repository keeps `model.bin` in Git LFS, its server asks for the password."""
    content = b"weights " * 1000
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    commit(origin, "feat: a model", {".gitattributes": "*.bin filter=lfs -text\n", "model.bin": pointer})
    git(origin, "push", "--quiet", str(server.root / "app.git"), "main")
    stored = server.root / "app.git" / "lfs" / "objects" / oid
    stored.parent.mkdir(parents=True)
    stored.write_bytes(content)
    server.password = PASSWORD
    return server


async def test_files_in_lfs_come_with_it(
    with_lfs: GitServer, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this user's git is set to do; pointers only for who wants them."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    fetch = partial(fetch_git, with_lfs.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "work")
    async with await fetch() as checkout:
        assert (checkout.path / "model.bin").read_bytes() == b"weights " * 1000
    assert left(tmp_path / "work") == []
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    async with await fetch() as checkout:
        assert (checkout.path / "model.bin").read_text().startswith("version https://git-lfs")


@pytest.mark.parametrize(
    ("missing", "said"), [("program", "git-lfs is not installed"), ("object", "files in Git LFS cannot be fetched")]
)
async def test_files_in_lfs_that_cannot_be_had_are_said(
    with_lfs: GitServer, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, said: str
) -> None:
    """A pointer is never taken for the file, not even if the repository's own configuration allows that."""
    if missing == "program":
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("git", "sh", "cat", "ssh"):
            (programs / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
        monkeypatch.setenv("PATH", str(programs))
    else:
        shutil.rmtree(with_lfs.root / "app.git" / "lfs")
        commit(origin, "build: pointers do", {".lfsconfig": "[lfs]\n\tskipdownloaderrors = true\n"})
        git(origin, "push", "--quiet", str(with_lfs.root / "app.git"), "main")
    with pytest.raises(LfsFilesMissing, match=said):
        await fetch_git(with_lfs.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "work")
    assert left(tmp_path / "work") == []


@pytest.mark.parametrize("scheme", ["file://", "file://localhost", "FILE://", ""])
async def test_lfs_may_not_read_this_machine(with_lfs: GitServer, origin: Path, tmp_path: Path, scheme: str) -> None:
    """A remote repository whose `.lfsconfig` points to a repository of this machine does not get its files."""
    stored = with_lfs.root / "app.git" / "lfs"
    (content,) = (stored / "objects").iterdir()
    ours = make_bare(tmp_path / "ours.git", origin) / "lfs" / "objects" / content.name[:2] / content.name[2:4]
    ours.mkdir(parents=True)
    content.rename(ours / content.name)
    url = f"{scheme}{tmp_path / 'ours.git'}"
    commit(origin, "build: elsewhere", {".lfsconfig": f'[lfs]\n\turl = {url}\n[remote "origin"]\n\tlfsurl = {url}\n'})
    git(origin, "push", "--quiet", str(with_lfs.root / "app.git"), "main")
    with pytest.raises(LfsFilesMissing, match="cannot be fetched"):
        await fetch_git(with_lfs.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "work")
    async with await fetch_git(str(with_lfs.root / "app.git"), ref=None, workdir=tmp_path / "work") as checkout:
        assert (checkout.path / "model.bin").read_bytes() == b"weights " * 1000


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_cancelling_ends_git_and_removes_everything(tmp_path: Path) -> None:
    """A fetch that hangs is cancelled at once: no process and no file stays."""
    workdir = tmp_path / "work"
    with silent_server() as port:
        fetching = asyncio.create_task(fetch_git(f"http://127.0.0.1:{port}/app.git", ref=None, workdir=workdir))
        while not (running := [p for p in psutil.Process().children(recursive=True) if _talks_http(p)]):
            await asyncio.sleep(0.01)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        psutil.wait_procs(running, timeout=PATIENCE_S)
        assert not any(process.is_running() for process in running)
    assert left(workdir) == []


def _talks_http(process: psutil.Process) -> bool:
    try:
        return "remote-http" in process.name()
    except psutil.NoSuchProcess:  # git starts several that end at once
        return False


async def test_what_a_killed_process_left_is_removed(bare: Path, tmp_path: Path) -> None:
    """The next fetch removes folders of processes that are gone, and no others."""
    workdir = tmp_path / "work"
    me = this_process()
    async with await fetch_git(str(bare), ref=None, workdir=workdir) as checkout:
        assert checkout.temporary is not None
        host = checkout.temporary.name.split("-")[1]
    dead = workdir / f"source-{host}-999999999-{me.started}-abc"
    reused = workdir / f"source-{host}-{me.pid}-1-abc"
    long_ago = workdir / f"source-{'0' * 12}-{me.pid}-{me.started}-abc"
    alive = workdir / f"source-{host}-{me.pid}-{me.started}-abc"
    elsewhere = workdir / f"source-{'1' * 12}-{me.pid}-{me.started}-abc"
    foreign = workdir / "notes"
    for folder in (dead, reused, long_ago, alive, elsewhere, foreign):
        (folder / "locked" / "deep").mkdir(parents=True)
        (folder / "locked").chmod(0o500)
    os.utime(long_ago, (1, 1))
    async with await fetch_git(str(bare), ref=None, workdir=workdir) as checkout:
        assert sorted(left(workdir)) == sorted([alive, elsewhere, foreign, checkout.temporary or Path()])


async def test_users_settings_do_not_change_the_files(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line endings are those of the repository, and no template hook runs."""
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    (hooks / "post-checkout").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\tautocrlf = true\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {hooks.parent}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    async with await fetch_git(str(origin), ref=None, workdir=tmp_path / "work") as checkout:
        assert (checkout.path / "Dockerfile").read_bytes() == b"FROM scratch\n"
    assert not (tmp_path / "hooked").exists()


async def test_bare_repositories_that_git_is_not_to_find(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With safe.bareRepository, as many set it (git-config(1)), Slipway's own are used, and none in a directory."""
    config = tmp_path / "gitconfig"
    config.write_text("[safe]\n\tbareRepository = explicit\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    async with await fetch_git(str(origin), ref=None, workdir=tmp_path / "work") as checkout:
        history = await History.open(checkout)
        assert [each.subject for each in (await history.since(None)).commits] == ["feat: two", "feat: begin"]
    assert (await open_directory(make_bare(tmp_path / "bare", origin), allow_dirty=False)).revision is None


async def test_users_attributes_do_not_change_the_files(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In git's own place for them, and where a setting names them."""
    (tmp_path / "git").mkdir()
    (tmp_path / "git" / "attributes").write_text("Dockerfile text eol=crlf\n")
    config = tmp_path / "gitconfig"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    for text in ("", f"[core]\n\tattributesFile = {tmp_path}/git/attributes\n"):
        config.write_text(text)
        async with await fetch_git(str(origin), ref=None, workdir=tmp_path / "work") as checkout:
            assert (checkout.path / "Dockerfile").read_bytes() == b"FROM scratch\n"


async def test_a_ca_of_ones_own_is_trusted_where_it_is_named(bare: Path, tmp_path: Path) -> None:
    """Fetching and reading the tags later; without it the certificate is refused, and a file that is not there told."""
    made = make_certificates(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    work = tmp_path / "work"
    with serve_git(bare.parent, tls=context) as server:
        url = server.url(bare.name)
        with pytest.raises(SourceTlsError):
            await fetch_git(url, ref=None, workdir=work)
        with pytest.raises(InvalidOption, match=r"absent\.pem does not exist"):
            await fetch_git(url, ref=None, ca_file=tmp_path / "absent.pem", workdir=work)
        async with await fetch_git(url, ref="main", ca_file=made.ca, workdir=work) as checkout:
            ledger = await GitLedger.open(checkout, prefix="v")
            assert sorted(str(version) for version in await ledger.versions()) == ["1.0.0", "2.0.0"]

"""Commits on a branch of a real repository: over HTTP with a password, over ssh with a key, ten at once, signed."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import BranchRefused, RefUnknown, SourceDenied, SourceError, SourceMissing
from prefect_slipway.infra.signing.ssh import PrivateKeySigner, ssh_signature
from prefect_slipway.infra.source.branch_writer import Pushed, RemoteBranch, remote_branch, write_branch
from prefect_slipway.infra.source.command import Remote, SshIdentity
from prefect_slipway.infra.source.commits import SLIPWAY, Author, Commit
from prefect_slipway.infra.source.url import GitUrl
from tests.git_repository import git, make_bare, make_repository
from tests.git_server import GitServer, serve_git
from tests.ssh_server import serve_ssh, ssh_key

PASSWORD = "hidden-treasure-4711"


class Robot:
    async def credential(self, host: str) -> Credential | None:
        return Credential("robot", PASSWORD)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A bare repository with a counter, an executable file and a link, and a folder that nobody asks for."""
    work = make_repository(tmp_path / "work", {"app/counter.txt": "", "other/large.txt": "x" * 100_000, "top": "t\n"})
    (work / "app" / "run.sh").write_text("#!/bin/sh\n")
    (work / "app" / "run.sh").chmod(0o755)
    (work / "app" / "link").symlink_to("../top")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "more")
    bare = make_bare(tmp_path / "served" / "config.git", work)
    git(bare, "config", "uploadpack.allowFilter", "true")
    return bare


@pytest.fixture
def server(bare: Path) -> Iterator[GitServer]:
    with serve_git(bare.parent, password=PASSWORD) as served:
        yield served


def over_http(server: GitServer) -> Remote:
    return Remote(GitUrl.parse(server.url("config.git")), Robot())


async def add_line(line: str, branch: RemoteBranch) -> Commit | None:
    """Append a line to the counter, once."""
    (text,) = (await branch.files("app/counter.txt")).values()
    if f"{line}\n" in text:
        return None
    return Commit({"app/counter.txt": f"{text}{line}\n"}, f"add {line}\n")


async def write(remote: Remote, workdir: Path, line: str, author: Author = SLIPWAY, to: str | None = None) -> Pushed:
    async with remote_branch(remote, "main", workdir) as branch:
        return await write_branch(branch, partial(add_line, line), author, to=to)


def lines(bare: Path, branch: str = "main") -> list[str]:
    return git(bare, "show", f"{branch}:app/counter.txt").splitlines()


async def test_a_commit_over_http(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """One commit on the branch with just this change; modes, links and other files stay; nothing stays here."""
    before = git(bare, "ls-tree", "-r", "main")
    pushed = await write(over_http(server), tmp_path / "w", "one", Author("Robot", "robot@example.com"))
    assert git(bare, "rev-parse", "main") == pushed.revision
    assert lines(bare) == ["one"]
    assert git(bare, "diff", "--name-only", "main^", "main") == "app/counter.txt"
    assert {line for line in git(bare, "ls-tree", "-r", "main").splitlines() if "counter" not in line} == {
        line for line in before.splitlines() if "counter" not in line
    }
    assert git(bare, "log", "-1", "--format=%an <%ae>%n%B", "main") == "Robot <robot@example.com>\nadd one"
    assert list((tmp_path / "w").iterdir()) == []
    git(bare, "fsck", "--strict")


async def test_the_same_again_writes_nothing(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """No empty commit."""
    first = await write(over_http(server), tmp_path / "w", "one")
    again = await write(over_http(server), tmp_path / "w", "one")
    assert (again.new, again.revision) == (False, first.revision)
    assert git(bare, "rev-list", "--count", "main") == "3"


async def test_files_that_nobody_reads_are_not_fetched(server: GitServer, tmp_path: Path) -> None:
    """Where the server lets choose: the large file stays there, and neither do links count as files."""
    async with remote_branch(over_http(server), "main", tmp_path / "w") as branch:
        assert set(await branch.files("app")) == {"app/counter.txt", "app/run.sh"}
        (folder,) = (tmp_path / "w").iterdir()
        size = sum(each.stat().st_size for each in (folder / "git" / "objects").rglob("*") if each.is_file())
        there = git(folder / "git", "rev-list", "--objects", "--missing=print", "refs/remotes/origin/branch")
    assert [line for line in there.splitlines() if line.startswith("?")]
    assert size < 50_000


async def test_a_server_without_partial_clones(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """It sends everything, and the same comes of it."""
    git(bare, "config", "uploadpack.allowFilter", "false")
    assert (await write(over_http(server), tmp_path / "w", "one")).new


async def test_ten_at_once_lose_nothing(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """Each makes its change anew on what the others pushed: ten lines, ten commits, one after the other."""
    done = await asyncio.gather(*(write(over_http(server), tmp_path / str(n), f"line-{n}") for n in range(10)))
    assert sorted(lines(bare)) == sorted(f"line-{n}" for n in range(10))
    assert git(bare, "rev-list", "--count", "--first-parent", "main") == "12"
    assert len({each.revision for each in done}) == 10
    assert max(each.attempts for each in done) > 1
    git(bare, "fsck", "--strict")


async def test_a_branch_of_its_own(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """For a pull request: the branch itself stays; once more writes nothing; another change replaces the commit."""
    main = git(bare, "rev-parse", "main")
    first = await write(over_http(server), tmp_path / "w", "one", to="slipway/app")
    assert git(bare, "rev-parse", "main") == main
    assert lines(bare, "slipway/app") == ["one"]
    assert (await write(over_http(server), tmp_path / "w", "one", to="slipway/app")) == Pushed(
        first.revision, "slipway/app", new=False
    )
    await write(over_http(server), tmp_path / "w", "two", to="slipway/app")
    assert lines(bare, "slipway/app") == ["two"]
    assert git(bare, "rev-list", "--count", "main..slipway/app") == "1"


@pytest.mark.parametrize("path", ["app/link", "app", "top/more", "app/link/more"])
async def test_only_files_are_written(bare: Path, server: GitServer, tmp_path: Path, path: str) -> None:
    """A link would lead to what is written, and a folder or a file in the way be gone."""

    async def change(branch: RemoteBranch) -> Commit:
        return Commit({path: "text\n"}, "chore: x\n")

    async with remote_branch(over_http(server), "main", tmp_path / "w") as branch:
        with pytest.raises(SourceError, match=f"{path} leads through something that is not a"):
            await write_branch(branch, change, SLIPWAY)
    assert git(bare, "log", "-1", "--format=%s", "main") == "more"


async def test_over_ssh_with_a_key(bare: Path, tmp_path: Path) -> None:
    """The key and the server's host key come from memory; without them the server lets nobody in, or is not known."""
    (tmp_path / "ssh").mkdir()
    with serve_ssh(tmp_path / "ssh") as server:
        url = GitUrl.parse(server.url(bare))
        other = ssh_key(tmp_path, "other").read_text()

        def remote(identity: SshIdentity) -> Remote:
            async def known() -> SshIdentity:
                return identity

            return Remote(url, identity=known)

        pushed = await write(remote(SshIdentity(server.key, server.known_hosts)), tmp_path / "w", "one")
        assert git(bare, "rev-parse", "main") == pushed.revision
        for wrong in (SshIdentity(other, server.known_hosts), SshIdentity(server.key, "")):
            with pytest.raises(SourceDenied):
                await write(remote(wrong), tmp_path / "w", "two")
    assert lines(bare) == ["one"]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_git_accepts_the_signature(
    bare: Path, server: GitServer, tmp_path: Path, kind: str, verify_commit: Callable[[Path, str, str], str]
) -> None:
    """`git verify-commit` with the key's public half among the allowed signers."""
    key = ssh_key(tmp_path, kind, kind)
    signer = PrivateKeySigner("a key", key.read_text())
    author = Author("Robot", "robot@example.com", sign=partial(ssh_signature, signer))
    pushed = await write(over_http(server), tmp_path / "w", "one", author)
    public = Path(f"{key}.pub").read_text()
    assert "Good" in verify_commit(bare, pushed.revision, public)
    other = Path(f"{ssh_key(tmp_path, 'other')}.pub").read_text()
    with pytest.raises(subprocess.CalledProcessError):
        verify_commit(bare, pushed.revision, other)


@pytest.fixture
def verify_commit(tmp_path: Path) -> Callable[[Path, str, str], str]:
    def verify(repository: Path, revision: str, public: str) -> str:
        allowed = tmp_path / "allowed"
        allowed.write_text(f"robot@example.com {public}")
        settings = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={allowed}"]
        done = subprocess.run(
            ["git", *settings, "verify-commit", revision], cwd=repository, check=True, capture_output=True, text=True
        )
        return done.stderr

    return verify


async def test_what_goes_wrong(bare: Path, server: GitServer, tmp_path: Path) -> None:
    """A branch or file that does not exist, and a server that takes no push, are told as such."""
    remote = over_http(server)
    with pytest.raises(RefUnknown, match="nowhere"):
        async with remote_branch(remote, "nowhere", tmp_path / "w"):
            pass
    async with remote_branch(remote, "main", tmp_path / "w") as branch:
        for missing in ("gone", "app/link"):
            with pytest.raises(SourceMissing, match=missing):
                await branch.files(missing)
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(BranchRefused, match="refuses the change"):
        await write(remote, tmp_path / "w", "one")
    hook.unlink()
    server.writable = False
    with pytest.raises(BranchRefused, match="credentials"):
        await write(remote, tmp_path / "w", "one")
    assert lines(bare) == []

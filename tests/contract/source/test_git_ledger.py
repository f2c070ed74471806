"""GitLedger keeps the ledger's contract, in a repository on this machine and in a remote one; and git's own rules."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.common.processes import Owner, is_alive, this_process
from prefect_slipway.infra.domain.credentials import Credential, CredentialSource
from prefect_slipway.infra.domain.errors import InvalidOption, SourceDenied, VersionReserved, VersionTaken
from prefect_slipway.infra.domain.ledger import Claim, Reservation, VersionLedger
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from prefect_slipway.infra.source.history import History, remote_of
from prefect_slipway.infra.source.ledger import GitLedger
from tests.contract.ledger_contract import DIGEST, LedgerContract, exactly, minor
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import GitServer, serve_git


async def open_ledger(directory: str, remote: str) -> GitLedger:
    """How a child process opens a ledger (see LedgerContract)."""
    return await GitLedger.open(await open_directory(Path(directory), allow_dirty=False), prefix="v", remote=remote)


class GitWorld:
    """A repository, and clones of it if it is a remote one."""

    def __init__(self, folder: Path, *, remote: bool) -> None:
        self.work = make_repository(folder / "work")
        self.remote = make_bare(folder / "remote.git", self.work) if remote else None
        self._clones = (folder / f"clone-{number}" for number in itertools.count())

    def _place(self) -> Path:
        if self.remote is None:
            return self.work
        clone = next(self._clones)
        git(self.work.parent, "clone", "--quiet", str(self.remote), str(clone))
        return clone

    async def ledger(self) -> GitLedger:
        return await open_ledger(*self.recipe()[2])

    def recipe(self) -> tuple[str, str, list[str]]:
        return __name__, "open_ledger", [str(self._place()), "-" if self.remote is None else "origin"]

    async def release(self, version: str) -> None:
        git(self.remote or self.work, "tag", f"v{version}", "main")

    async def published(self, ledger: VersionLedger, reservation: Reservation) -> None:
        await ledger.publish(reservation)

    def refs(self) -> dict[str, str]:
        listed = git(self.remote or self.work, "for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split() for line in listed.splitlines())


@pytest.fixture(params=["local", "remote"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path, remote=request.param == "remote")


class TestGitLedger(LedgerContract):
    async def test_other_tags_are_no_versions(self, world: GitWorld) -> None:
        """Tags without the prefix, or that show no version, are passed over."""
        place = world.remote or world.work
        for tag in ("v1.0.0", "nightly", "1.5.0", "v2", "app/v3.0.0", "v1.1.0_x"):
            git(place, "tag", tag, "main")
        assert [str(version) for version in await (await world.ledger()).versions()] == ["1.0.0"]

    async def test_an_annotated_tag_counts(self, world: GitWorld) -> None:
        """A version that a person tagged with a message is released."""
        git(world.remote or world.work, "tag", "--annotate", "--message", "by hand", "v1.0.0", "main")
        ledger = await world.ledger()
        assert [str(version) for version in await ledger.versions()] == ["1.0.0"]
        await ledger.publish(Reservation(next(iter(await ledger.versions())), Claim("rerun", "a")))

    async def test_publishing_leaves_one_tag_and_nothing_else(self, world: GitWorld) -> None:
        """The tag names the revision, and the reservation's ref is gone."""
        ledger = await world.ledger()
        before = world.refs()
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        assert list(world.refs().keys() - before.keys()) == ["refs/slipway/v0.1.0"]
        await ledger.publish(reservation)
        await ledger.give_back(reservation)
        assert world.refs() == before | {"refs/tags/v0.1.0": git(world.work, "rev-parse", "HEAD")}

    async def test_a_tag_is_never_moved(self, world: GitWorld) -> None:
        """If the tag appears on another commit before publish, publish refuses and the tag stays."""
        ledger = await world.ledger()
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        place = world.remote or world.work
        tree = git(place, "rev-parse", "main^{tree}")
        other = git(place, "commit-tree", "-m", "another", tree)
        git(place, "tag", "v0.1.0", other)
        with pytest.raises(VersionTaken):
            await ledger.publish(reservation)
        assert git(place, "rev-parse", "v0.1.0") == other

    async def test_expired_reservations_are_left_behind(self, world: GitWorld) -> None:
        """What another machine left is taken over once its time is over, not before; keeping it starts it anew."""
        checkout = await open_directory(world._place(), allow_dirty=False)

        async def ledger(ttl_s: float) -> GitLedger:
            opened = await GitLedger.open(checkout, prefix="v", remote="-" if world.remote is None else "origin")
            return GitLedger(
                checkout.repository or Path(),
                prefix="v",
                revision=checkout.revision or "",
                remote=opened.remote,
                owner_alive=lambda owner: None,
                ttl_s=ttl_s,
            )

        await (await ledger(7200)).reserve(Claim("far away", "a"), exactly("1.0.0"))
        with pytest.raises(VersionReserved):
            await (await ledger(7200)).reserve(Claim("here", "a"), exactly("1.0.0"))
        await (await ledger(-1)).reserve(Claim("far away", "a"), exactly("2.0.0"))
        taken = await (await ledger(7200)).reserve(Claim("here", "a"), exactly("2.0.0"))
        assert taken.resumed

        waiting = await (await ledger(-1)).reserve(Claim("far away", "b"), exactly("3.0.0"))
        await (await ledger(-1)).note_digest(waiting, DIGEST)
        await (await ledger(7200)).keep(waiting)
        with pytest.raises(VersionReserved):
            await (await ledger(7200)).reserve(Claim("here", "b"), exactly("3.0.0"))
        await (await ledger(-1)).keep(waiting)
        taken = await (await ledger(7200)).reserve(Claim("here", "b"), exactly("3.0.0"))
        assert taken.claim.digest == DIGEST
        with pytest.raises(VersionReserved):
            await (await ledger(7200)).keep(waiting)

    async def test_a_reservation_that_was_taken_over_is_lost(self, world: GitWorld) -> None:
        """A run taken for dead cannot note a digest, publish, or give back what another holds now."""
        first = await world.ledger()
        reservation = await first.reserve(Claim("slow", "a"), minor)
        second = GitLedger(
            world.work if world.remote is None else world._place(),
            prefix="v",
            revision=git(world.work, "rev-parse", "HEAD"),
            remote=first.remote,
            owner_alive=lambda owner: False,
        )
        other = await second.reserve(Claim("quick", "b"), minor)
        assert other.version == reservation.version
        for action in (first.note_digest(reservation, DIGEST), first.publish(reservation)):
            with pytest.raises(VersionReserved):
                await action
        await first.give_back(reservation)
        await second.publish(other)

    async def test_an_image_that_was_pushed_is_finished_later(self, world: GitWorld) -> None:
        """A dead run's pushed image is finished under its version even if a higher one was released meanwhile."""
        ledger = await world.ledger()
        dead = await ledger.reserve(Claim("dead", "a"), minor)
        await ledger.note_digest(dead, DIGEST)
        other = await ledger.reserve(Claim("other", "b"), minor)
        await ledger.publish(other)
        again = await ledger.reserve(Claim("dead", "a"), minor)
        assert (str(again.version), again.resumed, again.claim.digest) == ("0.1.0", True, DIGEST)

    async def test_an_unreadable_reservation_is_dropped(self, world: GitWorld) -> None:
        """A ref below refs/slipway/ that no release wrote blocks nobody."""
        git(world.remote or world.work, "update-ref", "refs/slipway/v0.1.0", "main")
        assert str((await (await world.ledger()).reserve(Claim("one", "a"), minor)).version) == "0.1.0"

    async def test_prefixes_are_counted_apart(self, world: GitWorld) -> None:
        """Each image of a monorepo has its own versions and reservations."""
        opened = await world.ledger()
        repository = world.work if world.remote is None else world._place()
        revision = git(world.work, "rev-parse", "HEAD")
        for prefix in ("app/v", "lib/v", "v"):
            ledger = GitLedger(repository, prefix=prefix, revision=revision, remote=opened.remote)
            reservation = await ledger.reserve(Claim(prefix, "a"), minor)
            assert str(reservation.version) == "0.1.0"
            await ledger.publish(reservation)
        assert {"refs/tags/app/v0.1.0", "refs/tags/lib/v0.1.0", "refs/tags/v0.1.0"} <= world.refs().keys()


async def test_cancelling_a_reservation_leaves_none(world: GitWorld) -> None:
    """At whatever moment a release is cancelled while it reserves, nothing stays reserved."""
    ledger = await world.ledger()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await ledger.give_back(await ledger.reserve(Claim("measure", "a"), minor))
    whole = loop.time() - began
    for step in range(12):
        reserving = asyncio.create_task(ledger.reserve(Claim(f"run-{step}", f"source-{step}"), minor))
        await asyncio.wait([reserving], timeout=whole * step / 12)
        if reserving.cancel():
            with contextlib.suppress(asyncio.CancelledError):
                await reserving
        else:
            await ledger.give_back(reserving.result())
        assert not [ref for ref in world.refs() if ref.startswith("refs/slipway/")]


async def test_a_lock_that_was_left_is_named(world: GitWorld) -> None:
    """When git itself was killed and its lock file stays, the error shows git's words about it."""
    lock = (world.remote or world.work / ".git") / "refs" / "slipway" / "v0.1.0.lock"
    lock.parent.mkdir()
    lock.write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect_slipway.infra.source.ledger._ATTEMPTS", 2)
        with pytest.raises(VersionReserved) as caught:
            await (await world.ledger()).reserve(Claim("one", "a"), minor)
    assert "v0.1.0" in caught.value.details


async def test_no_identity_is_needed(world: GitWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build machine without user.name and user.email can release."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    ledger = await world.ledger()
    await ledger.publish(await ledger.reserve(Claim("one", "a"), minor))


async def test_users_settings_do_not_change_a_release(world: GitWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing, followed tags and hooks of the user's own stay out of it."""
    config = world.work.parent / "gitconfig"
    config.write_text(
        "[push]\n\tgpgSign = true\n\tfollowTags = true\n[tag]\n\tgpgSign = true\n[commit]\n\tgpgSign = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    for name in ("pre-push", "reference-transaction"):
        hook = world.work / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    if world.remote is not None:
        git(world.work, "-c", "core.hooksPath=/dev/null", "remote", "add", "origin", str(world.remote))
    ledger = await open_ledger(str(world.work), "-" if world.remote is None else "origin")
    await ledger.publish(await ledger.reserve(Claim("one", "a"), minor))
    assert "refs/tags/v0.1.0" in world.refs()


async def test_a_users_work_tree_gets_the_tag_too(tmp_path: Path) -> None:
    """After a release against the remote, the tag is in the local repository as well."""
    world = GitWorld(tmp_path, remote=True)
    git(world.work, "remote", "add", "origin", str(world.remote))
    ledger = await open_ledger(str(world.work), "origin")
    await ledger.publish(await ledger.reserve(Claim("one", "a"), minor))
    assert git(world.work, "tag") == "v0.1.0"


async def test_a_commit_that_was_not_pushed_comes_with_its_tag(tmp_path: Path) -> None:
    """Publishing a commit that the remote lacks pushes it with the tag, and moves no branch."""
    world = GitWorld(tmp_path, remote=True)
    git(world.work, "remote", "add", "origin", str(world.remote))
    before = world.refs()
    revision = commit(world.work, "feat: not pushed", {"new": "x"})
    ledger = await open_ledger(str(world.work), "origin")
    reservation = await ledger.reserve(Claim("one", "a"), minor)
    await ledger.publish(reservation)
    await ledger.give_back(reservation)
    assert world.refs() == before | {"refs/tags/v0.1.0": revision}


async def test_an_unknown_remote_is_said(tmp_path: Path) -> None:
    """A remote that the repository does not have is a usage error."""
    world = GitWorld(tmp_path, remote=False)
    with pytest.raises(InvalidOption, match="no remote 'upstream'"):
        await open_ledger(str(world.work), "upstream")


async def test_an_illegal_prefix_is_said(tmp_path: Path) -> None:
    """A prefix that git allows in no tag is a usage error."""
    world = GitWorld(tmp_path, remote=False)
    for prefix in ("a b", "-x/../", "v^"):
        with pytest.raises(InvalidOption):
            GitLedger(world.work, prefix=prefix, revision="0" * 40)


async def test_dead_owners_are_recognised_by_pid_and_start(tmp_path: Path) -> None:
    """A reused pid is not taken for the owner; a process elsewhere is neither dead nor alive."""
    me = this_process()
    assert is_alive(me) is True
    assert is_alive(Owner(me.host, me.pid, me.started - 1)) is False
    assert is_alive(Owner("elsewhere", me.pid, me.started)) is None


class Robot:
    """The credentials of the server's user."""

    def __init__(self, password: str) -> None:
        self._password = password

    async def credential(self, host: str) -> Credential | None:
        return Credential("robot", self._password)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    bare = make_bare(tmp_path / "served" / "app.git", make_repository(tmp_path / "origin"))
    git(bare, "config", "http.receivepack", "true")
    with serve_git(bare.parent, password="hidden-treasure") as running:
        yield running


async def fetched_ledger(server: GitServer, workdir: Path, credentials: CredentialSource) -> GitLedger:
    checkout = await fetch_git(server.url("app.git"), ref=None, credentials=credentials, workdir=workdir)
    return await GitLedger.open(checkout, prefix="v", credentials=credentials)


async def test_a_fetched_source_is_released_over_http(server: GitServer, tmp_path: Path) -> None:
    """A shallow clone reserves, notes and publishes at its server with the credential that it was given."""
    ledger = await fetched_ledger(server, tmp_path / "work", Robot("hidden-treasure"))
    reservation = await ledger.reserve(Claim("one", "a"), minor)
    reservation = await ledger.note_digest(reservation, DIGEST)
    await ledger.publish(reservation)
    await ledger.give_back(reservation)
    assert git(server.root / "app.git", "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main",
        "refs/tags/v0.1.0",
    ]


async def test_a_remote_is_not_asked_what_is_known(tmp_path: Path) -> None:
    """A conversation takes a second over the Internet: a look before and one after the version is taken, and a push for
    each change. What somebody else changed meanwhile is noticed all the same."""
    bare = make_bare(tmp_path / "served" / "app.git", make_repository(tmp_path / "origin"))
    git(bare, "config", "http.receivepack", "true")
    with serve_git(bare.parent) as server:
        checkout = await fetch_git(server.url("app.git"), ref=None, credentials=None, workdir=tmp_path / "work")
        ledger = await GitLedger.open(checkout, prefix="v")
        server.begun.clear()
        assert await ledger.versions() == []
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        reservation = await ledger.note_digest(reservation, DIGEST)
        await ledger.publish(reservation)
        await ledger.give_back(reservation)
        assert sorted(server.begun) == ["git-receive-pack"] * 4 + ["git-upload-pack"] * 2
        taken = await ledger.reserve(Claim("two", "b"), minor)
        other = await GitLedger.open(checkout, prefix="v")
        git(bare, "update-ref", "refs/slipway/v0.2.0", "main")
        with pytest.raises(VersionReserved):
            await ledger.publish(taken)
        with pytest.raises(VersionReserved):
            await ledger.keep(taken)
        assert [str(version) for version in await other.versions()] == ["0.1.0"]
        git(bare, "tag", "v0.3.0", "main")
        assert str((await other.reserve(Claim("three", "c"), minor)).version) == "0.4.0"


@pytest.mark.parametrize("kept", ["a header, as GitHub's checkout", "in the URL, as GitLab's runner"])
async def test_the_credential_of_a_cis_checkout_is_used(server: GitServer, tmp_path: Path, kept: str) -> None:
    """A shallow clone in a pipeline is completed, and pushes its version, by what the CI has left in it."""
    commit(tmp_path / "origin", "fix: a second commit", {"a.txt": "a"})
    git(tmp_path / "origin", "push", "--quiet", str(server.root / "app.git"), "main")
    work, url = tmp_path / "work", server.url("app.git").replace("://", "://robot:hidden-treasure@")
    git(tmp_path, "clone", "--quiet", "--depth", "1", url, str(work))
    if "header" in kept:
        header = base64.b64encode(b"robot:hidden-treasure").decode()
        git(work, "remote", "set-url", "origin", server.url("app.git"))
        git(work, "config", f"http.http://{server.host}/.extraheader", f"AUTHORIZATION: Basic {header}")
    checkout = await open_directory(work, allow_dirty=False)
    history = History(checkout, await remote_of(work, "origin", None))
    await history.complete()
    assert git(work, "rev-parse", "--is-shallow-repository") == "false"
    ledger = await GitLedger.open(checkout, prefix="v")
    await ledger.publish(await ledger.reserve(Claim("one", "a"), minor))
    assert "refs/tags/v0.1.0" in git(server.root / "app.git", "for-each-ref", "--format=%(refname)").split()


async def test_a_read_only_server_refuses_by_name(server: GitServer, tmp_path: Path) -> None:
    """A credential that may read but not push is SourceDenied, before anything is built."""
    server.writable = False
    ledger = await fetched_ledger(server, tmp_path / "work", Robot("hidden-treasure"))
    with pytest.raises(SourceDenied) as caught:
        await ledger.reserve(Claim("one", "a"), minor)
    assert "hidden-treasure" not in str(caught.value)
    assert "Next:" in str(caught.value)


async def test_a_tag_that_there_is_no_room_for_is_a_refusal(server: GitServer, tmp_path: Path) -> None:
    """A tag below its name is SourceDenied, and no other release that took the version over."""
    git(server.root / "app.git", "tag", "v0.1.0/x", "main")
    ledger = await fetched_ledger(server, tmp_path / "work", Robot("hidden-treasure"))
    with pytest.raises(SourceDenied, match=r"refs/tags/v0\.1\.0"):
        await ledger.publish(await ledger.reserve(Claim("one", "a"), minor))


async def test_a_servers_hook_that_forbids_the_ref_is_a_refusal(server: GitServer, tmp_path: Path) -> None:
    """A pre-receive hook that declines is SourceDenied, not a lost race that is tried for ever."""
    hook = server.root / "app.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no such refs here >&2\nexit 1\n")
    hook.chmod(0o755)
    ledger = await fetched_ledger(server, tmp_path / "work", Robot("hidden-treasure"))
    with pytest.raises(SourceDenied, match="refs/slipway"):
        await ledger.reserve(Claim("one", "a"), minor)

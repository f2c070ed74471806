"""Tags, what led to a revision, and the commits since a release, in whole, shallow and remote repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.commits import Commit
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import HistoryIncomplete
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import Remote
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from prefect_slipway.infra.source.history import History, tags
from prefect_slipway.infra.source.url import GitUrl
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import GitServer, serve_git


class Robot:
    async def credential(self, host: str) -> Credential | None:
        return Credential("robot", "hidden-treasure")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two releases; then a branch that began before the second, merged after it, and changes in two directories."""
    work = make_repository(tmp_path / "work", {"app/a": "1", "lib/a": "1"})
    git(work, "tag", "v1.0.0")
    git(work, "switch", "--quiet", "--create", "branch")
    commit(work, "feat(app): on the branch", {"app/branch": "1"})
    git(work, "switch", "--quiet", "main")
    commit(work, "fix(app): released", {"app/a": "no longer there"})
    git(work, "tag", "--annotate", "--message", "two", "v1.1.0")
    git(work, "merge", "--quiet", "--no-ff", "--message", "Merge branch", "branch")
    commit(work, "fix(lib): elsewhere", {"lib/a": "2"})
    commit(work, "feat(app)!: new\n\nBREAKING CHANGE: é, and more\n", {"app/a": "3"})
    return work


@pytest.fixture
def server(work: Path, tmp_path: Path) -> Iterator[GitServer]:
    bare = make_bare(tmp_path / "served" / "app.git", work)
    git(bare, "config", "uploadpack.allowFilter", "true")
    with serve_git(bare.parent, password="hidden-treasure") as running:
        yield running


async def commits_since(checkout: Checkout, start: str | None) -> list[Commit]:
    return list((await (await History.open(checkout, credentials=Robot())).since(start)).commits)


async def subjects_since(source: Path, start: str | None) -> list[str]:
    found = await commits_since(await open_directory(source, allow_dirty=False), start)
    return [commit.subject for commit in found]


def revision(repository: Path, name: str) -> str:
    return git(repository, "rev-parse", f"{name}^{{commit}}")


AFTER_1_1 = {"feat(app)!: new", "fix(lib): elsewhere", "feat(app): on the branch"}


async def test_tags_are_listed_with_their_commits(work: Path, server: GitServer) -> None:
    """Annotated tags name their commit, here and remote; a repository without tags has none."""
    expected = {"v1.0.0": git(work, "rev-parse", "v1.0.0"), "v1.1.0": git(work, "rev-parse", "v1.1.0^{commit}")}
    assert await tags(work) == expected
    assert await tags(Remote(GitUrl.parse(server.url("app.git")), Robot())) == expected
    git(work, "tag", "--delete", "v1.0.0", "v1.1.0")
    assert await tags(work) == {}


async def test_commits_since_a_release_are_those_not_in_it(work: Path) -> None:
    """Each before its parents, merged branches included, with whole messages."""
    checkout = await open_directory(work, allow_dirty=False)
    found = await commits_since(checkout, revision(work, "v1.1.0"))
    assert {commit.subject for commit in found} - {"Merge branch"} == AFTER_1_1
    assert found[0].message.strip() == "feat(app)!: new\n\nBREAKING CHANGE: é, and more"
    assert found[0].revision == checkout.revision


async def test_a_commit_comes_before_its_parents_whatever_the_clocks_said(tmp_path: Path) -> None:
    """What reverts comes before what it reverts, also where a committer's clock was slow."""
    work = make_repository(tmp_path / "work")
    start = revision(work, "HEAD")
    for number in range(4):
        date = f"{2_000_000_000 - number * 1000} +0000"
        git(work, "commit", "--quiet", "--allow-empty", "--message", f"fix: {number}", GIT_COMMITTER_DATE=date)
    assert await subjects_since(work, start) == ["fix: 3", "fix: 2", "fix: 1", "fix: 0"]


async def test_only_commits_that_touch_the_source_count(work: Path) -> None:
    """A neighbour's commits are not the source's; a change that was undone again on a branch still counts."""
    assert await subjects_since(work / "lib", revision(work, "v1.1.0")) == ["fix(lib): elsewhere"]
    start = revision(work, "HEAD")
    git(work, "switch", "--quiet", "--create", "undone")
    commit(work, "feat(lib): there", {"lib/x": "1"})
    (work / "lib/x").unlink()
    commit(work, "fix(lib): and back", {})
    git(work, "switch", "--quiet", "main")
    git(work, "merge", "--quiet", "--no-ff", "--message", "Merge", "undone")
    assert set(await subjects_since(work / "lib", start)) == {"feat(lib): there", "fix(lib): and back"}


async def test_without_a_release_the_whole_history_counts(work: Path) -> None:
    """None means from the beginning."""
    assert (await subjects_since(work, None))[-1] == "feat: begin"


async def test_nothing_since_is_an_empty_list(work: Path) -> None:
    """The released commit itself has no commits since, and neither has one before the release."""
    released = revision(work, "HEAD")
    assert await subjects_since(work, released) == []
    git(work, "switch", "--quiet", "--detach", "v1.0.0")
    assert await subjects_since(work, released) == []


async def test_what_led_to_a_revision_is_known(work: Path) -> None:
    """Itself, its parents and merged branches; not what came later or lies elsewhere, what is no commit, or nowhere."""
    git(work, "tag", "here")
    git(work, "switch", "--quiet", "--create", "other", "v1.0.0")
    elsewhere = commit(work, "feat: elsewhere", {"x": "1"})
    git(work, "switch", "--quiet", "--detach", "v1.1.0")
    blob, tree = git(work, "rev-parse", "HEAD:app/a"), git(work, "rev-parse", "HEAD^{tree}")
    mine = {revision(work, "v1.0.0"), revision(work, "v1.1.0")}
    others = {revision(work, "here"), elsewhere, blob, tree, "0" * 40}
    history = await History.open(await open_directory(work, allow_dirty=False))
    assert await history.includes(mine | others) == mine
    assert await history.includes([]) == set()
    assert await history.newest(sorted(mine)) == revision(work, "v1.1.0")


async def test_parents_are_told_where_something_is_reverted(work: Path) -> None:
    """Of all commits since then, also of merges and of what does not touch the source; elsewhere nobody needs them."""
    start = revision(work, "v1.1.0")
    lib = await History.open(await open_directory(work / "lib", allow_dirty=False))
    assert (await lib.since(start)).parents == {}
    commit(work, "revert: something", {"lib/a": "1"})
    lib = await History.open(await open_directory(work / "lib", allow_dirty=False))
    series = await lib.since(start)
    merge = git(work, "rev-list", "--merges", "-1", "HEAD")
    assert series.parents[merge] == tuple(git(work, "show", "--no-patch", "--format=%P", merge).split())
    assert len(series.parents) == int(git(work, "rev-list", "--count", f"{start}..HEAD"))


@pytest.mark.parametrize(
    "setting",
    [
        ("i18n.logOutputEncoding", "UTF-16"),
        ("i18n.logOutputEncoding", "no-such-encoding"),
        ("i18n.commitEncoding", "ISO-8859-1"),
        ("log.follow", "true"),
        ("log.date", "relative"),
        ("format.pretty", "oneline"),
        ("log.showSignature", "true"),
        ("log.decorate", "full"),
        ("color.ui", "always"),
    ],
)
async def test_a_repositorys_settings_change_nothing(work: Path, setting: tuple[str, str]) -> None:
    """However its users like to see logs, commits are read the same."""
    start = revision(work, "v1.1.0")
    expected = await commits_since(await open_directory(work / "app", allow_dirty=False), start)
    git(work, "config", *setting)
    checkout = await open_directory(work / "app", allow_dirty=False)
    assert await commits_since(checkout, start) == expected


@pytest.mark.parametrize("setting", [("log.showRoot", "false"), ("log.diffMerges", "first-parent")])
async def test_a_repositorys_settings_hide_no_files(work: Path, setting: tuple[str, str]) -> None:
    """A first commit has changed all of its files, and a merge what differs from any of its parents."""
    checkout = await open_directory(work, allow_dirty=False)
    expected = await (await History.open(checkout, paths=("app/a",))).since(None)
    assert {"Merge branch", "feat: begin"} <= {each.subject for each in expected.commits}
    git(work, "config", *setting)
    assert await (await History.open(checkout, paths=("app/a",))).since(None) == expected


async def test_messages_in_other_encodings_can_be_shown(work: Path) -> None:
    """What says its encoding is read by it; bytes that fit none become replacement characters."""
    start = revision(work, "HEAD")
    (work / "said").write_bytes("fix: café".encode("latin-1"))
    for encoding in ("ISO-8859-1", "no-such-encoding"):
        saying = ("-c", f"i18n.commitEncoding={encoding}")
        git(work, *saying, "commit", "--quiet", "--allow-empty", "--file", "said")
    (work / "said").unlink()
    assert await subjects_since(work, start) == ["fix: caf\ufffd", "fix: café"]


@pytest.mark.parametrize("subdirectory", ["", "app"])
async def test_a_fetched_source_gets_the_history_it_needs(
    server: GitServer, tmp_path: Path, work: Path, subdirectory: str
) -> None:
    """A shallow clone answers as the whole repository does, branches older than the release included."""
    checkout = await fetch_git(
        server.url("app.git"), ref=None, subdirectory=subdirectory, credentials=Robot(), workdir=tmp_path / "w"
    )
    async with checkout:
        for since in ("v1.1.0", "v1.0.0", None):
            start = None if since is None else revision(work, since)
            expected = await commits_since(await open_directory(work / subdirectory, allow_dirty=False), start)
            assert await commits_since(checkout, start) == expected


async def test_a_fetched_source_knows_its_line(server: GitServer, tmp_path: Path, work: Path) -> None:
    """What led to it is fetched, and what lies elsewhere is none of it, there or not."""
    git(work, "switch", "--quiet", "--create", "other", "v1.0.0")
    elsewhere = commit(work, "feat: elsewhere", {"x": "1"})
    git(work, "push", "--quiet", str(server.root / "app.git"), "other")
    mine = {revision(work, "v1.0.0"), revision(work, "v1.1.0")}
    async with await fetch_git(
        server.url("app.git"), ref="main", credentials=Robot(), workdir=tmp_path / "w"
    ) as checkout:
        history = await History.open(checkout, credentials=Robot())
        assert await history.includes(mine | {elsewhere}) == mine


@pytest.mark.parametrize("subdirectory", ["", "app"])
async def test_a_fetched_source_needs_no_file_contents_for_it(
    server: GitServer, tmp_path: Path, work: Path, subdirectory: str
) -> None:
    """Of the past only commits are fetched where the server can leave out the rest, for a part directories as well."""
    async with await fetch_git(
        server.url("app.git"), ref=None, subdirectory=subdirectory, credentials=Robot(), workdir=tmp_path / "w"
    ) as checkout:
        await commits_since(checkout, revision(work, "v1.0.0"))
        assert checkout.repository is not None
        listed = git(checkout.repository, "rev-list", "--objects", "--all", "--missing=print")
        missing = [line[1:] for line in listed.splitlines() if line.startswith("?")]
        kinds = {git(work, "cat-file", "-t", name) for name in missing}
        assert kinds == ({"blob"} if subdirectory else {"tree"})


@pytest.mark.parametrize("allowed", ["blob:none", "nothing"])
async def test_a_server_that_forbids_filters_is_asked_for_more(
    server: GitServer, tmp_path: Path, work: Path, allowed: str
) -> None:
    """What a server does not leave out comes along; the answer is the same."""
    git(server.root / "app.git", "config", "uploadpackfilter.allow", "false")
    git(server.root / "app.git", "config", f"uploadpackfilter.{allowed}.allow", "true")
    async with await fetch_git(
        server.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "w"
    ) as checkout:
        assert await commits_since(checkout, revision(work, "v1.0.0"))
        assert checkout.repository is not None
        missing = git(checkout.repository, "rev-list", "--objects", "--all", "--missing=print")
        assert ("?" in missing) == (allowed == "blob:none")


async def test_a_users_shallow_clone_is_completed(work: Path, tmp_path: Path) -> None:
    """As continuous integration makes it: one commit deep, without tags."""
    bare = make_bare(tmp_path / "remote.git", work)
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", bare.as_uri(), "clone")
    checkout = await open_directory(tmp_path / "clone" / "app", allow_dirty=False)
    start = revision(work, "v1.1.0")
    expected = await commits_since(await open_directory(work / "app", allow_dirty=False), start)
    assert await commits_since(checkout, start) == expected
    assert not (tmp_path / "clone" / ".git" / "shallow").exists()
    assert "promisor" not in (tmp_path / "clone" / ".git" / "config").read_text()


async def test_completing_a_users_clone_takes_none_of_its_tags(work: Path, tmp_path: Path) -> None:
    """Whatever the user's own fetches remove."""
    bare = make_bare(tmp_path / "remote.git", work)
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", bare.as_uri(), "clone")
    clone = tmp_path / "clone"
    git(clone, "tag", "of-the-user")
    for setting in ("fetch.prune", "fetch.pruneTags", "remote.origin.prune", "remote.origin.pruneTags"):
        git(clone, "config", setting, "true")
    assert await subjects_since(clone, revision(work, "v1.1.0"))
    assert git(clone, "tag") == "of-the-user"


async def test_a_shallow_clone_that_nothing_completes_is_refused(work: Path, tmp_path: Path) -> None:
    """Without a remote, or with one that is as shallow, it does not answer from what it sees; the revision itself it
    knows."""
    bare = make_bare(tmp_path / "remote.git", work)
    git(tmp_path, "clone", "--quiet", "--depth=2", bare.as_uri(), "shallow")
    git(tmp_path, "clone", "--quiet", (tmp_path / "shallow").as_uri(), "of-shallow")
    git(tmp_path / "shallow", "remote", "remove", "origin")
    start = revision(work, "v1.1.0")
    for name in ("shallow", "of-shallow"):
        history = await History.open(await open_directory(tmp_path / name, allow_dirty=False))
        head = revision(tmp_path / name, "HEAD")
        assert await history.includes([head]) == {head}
        assert (await history.since(head)).commits == ()
        with pytest.raises(HistoryIncomplete, match="shallow clone"):
            await history.since(start)
        with pytest.raises(HistoryIncomplete, match="--unshallow"):
            await history.includes([head, start])


async def test_another_remote_completes_it_too(work: Path, tmp_path: Path) -> None:
    """The remote that keeps the tags does where there is no origin."""
    bare = make_bare(tmp_path / "remote.git", work)
    git(tmp_path, "clone", "--quiet", "--depth=1", "--origin=upstream", bare.as_uri(), "clone")
    checkout = await open_directory(tmp_path / "clone", allow_dirty=False)
    start = revision(work, "v1.0.0")
    assert await (await History.open(checkout, remote="upstream")).includes([start]) == {start}

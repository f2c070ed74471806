"""Tags, and the commits since a release, in whole, shallow and remote repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.domain.credentials import Credential
from flows.domain.errors import RefUnknown
from infra.source import commits_since, fetch_git, open_directory, tags
from infra.source.command import Remote
from infra.source.url import GitUrl
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


def subjects(found: list) -> list[str]:
    return [commit.subject for commit in found]


AFTER_1_1 = {"feat(app)!: new", "fix(lib): elsewhere", "feat(app): on the branch"}


async def test_tags_are_listed_with_their_commits(work: Path, server: GitServer) -> None:
    """Annotated tags name their commit, here and remote; a repository without tags has none."""
    expected = {"v1.0.0": git(work, "rev-parse", "v1.0.0"), "v1.1.0": git(work, "rev-parse", "v1.1.0^{commit}")}
    assert await tags(work) == expected
    assert await tags(Remote(GitUrl.parse(server.url("app.git")), Robot())) == expected
    git(work, "tag", "--delete", "v1.0.0", "v1.1.0")
    assert await tags(work) == {}


async def test_commits_since_a_tag_are_those_not_in_it(work: Path) -> None:
    """Newest first, merged branches included, with whole messages; the tag may be named in both ways or by its id."""
    checkout = await open_directory(work, allow_dirty=False)
    for since in ("v1.1.0", "refs/tags/v1.1.0", git(work, "rev-parse", "v1.1.0^{commit}")):
        found = await commits_since(checkout, since)
        assert set(subjects(found)) - {"Merge branch"} == AFTER_1_1
        assert found[0].message.strip() == "feat(app)!: new\n\nBREAKING CHANGE: é, and more"
        assert found[0].revision == checkout.revision


async def test_only_commits_that_touch_the_source_count(work: Path) -> None:
    """A neighbour's commits are not the source's; a change that was undone again on a branch still counts."""
    found = await commits_since(await open_directory(work / "lib", allow_dirty=False), "v1.1.0")
    assert subjects(found) == ["fix(lib): elsewhere"]
    git(work, "tag", "v2.0.0")
    git(work, "switch", "--quiet", "--create", "undone")
    commit(work, "feat(lib): there", {"lib/x": "1"})
    (work / "lib/x").unlink()
    commit(work, "fix(lib): and back", {})
    git(work, "switch", "--quiet", "main")
    git(work, "merge", "--quiet", "--no-ff", "--message", "Merge", "undone")
    found = await commits_since(await open_directory(work / "lib", allow_dirty=False), "v2.0.0")
    assert set(subjects(found)) == {"feat(lib): there", "fix(lib): and back"}


async def test_without_a_release_the_whole_history_counts(work: Path) -> None:
    """None means from the beginning."""
    found = await commits_since(await open_directory(work, allow_dirty=False), None)
    assert subjects(found)[-1] == "feat: begin"


async def test_nothing_since_is_an_empty_list(work: Path) -> None:
    """The released commit itself, and one before the release, have no commits since."""
    git(work, "tag", "v9.0.0")
    assert await commits_since(await open_directory(work, allow_dirty=False), "v9.0.0") == []
    git(work, "switch", "--quiet", "--detach", "v1.0.0")
    assert await commits_since(await open_directory(work, allow_dirty=False), "v9.0.0") == []


async def test_a_plain_directory_has_no_history(tmp_path: Path) -> None:
    """Outside of git there are no commits."""
    assert await commits_since(await open_directory(tmp_path, allow_dirty=False), None) == []


async def test_an_unknown_tag_is_said(work: Path) -> None:
    """A tag that is nowhere is RefUnknown."""
    with pytest.raises(RefUnknown, match=r"no tag v7\.0\.0"):
        await commits_since(await open_directory(work, allow_dirty=False), "v7.0.0")


@pytest.mark.parametrize("subdirectory", ["", "app"])
async def test_a_fetched_source_gets_the_history_it_needs(
    server: GitServer, tmp_path: Path, work: Path, subdirectory: str
) -> None:
    """A shallow clone answers as the whole repository does, branches older than the release included."""
    checkout = await fetch_git(
        server.url("app.git"), ref=None, subdirectory=subdirectory, credentials=Robot(), workdir=tmp_path / "w"
    )
    async with checkout:
        for since in ("v1.1.0", "v1.0.0", None, git(work, "rev-parse", "v1.0.0")):
            expected = await commits_since(await open_directory(work / subdirectory, allow_dirty=False), since)
            assert await commits_since(checkout, since, credentials=Robot()) == expected


async def test_a_fetched_source_needs_no_file_contents_for_it(server: GitServer, tmp_path: Path) -> None:
    """Only commits and directories of the past are fetched where the server can leave out files."""
    async with await fetch_git(
        server.url("app.git"), ref=None, credentials=Robot(), workdir=tmp_path / "w"
    ) as checkout:
        await commits_since(checkout, "v1.0.0", credentials=Robot())
        assert checkout.repository is not None
        missing = git(checkout.repository, "rev-list", "--objects", "--all", "--missing=print")
        assert any(line.startswith("?") for line in missing.splitlines())


async def test_a_tag_that_only_the_remote_has_is_found(work: Path, tmp_path: Path) -> None:
    """A clone that was not updated asks its remote, and gets no tag of its own from that."""
    bare = make_bare(tmp_path / "remote.git", work)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(bare), str(clone))
    behind = commit(work, "fix: later", {"app/later": "1"})
    git(work, "tag", "v3.0.0")
    git(work, "push", "--quiet", str(bare), "main", "v3.0.0")
    revision = commit(clone, "feat: here", {"app/here": "1"})
    found = await commits_since(await open_directory(clone, allow_dirty=False), "v3.0.0")
    assert [commit.revision for commit in found] == [revision]
    assert behind not in [commit.revision for commit in found]
    assert "v3.0.0" not in git(clone, "tag")


async def test_a_users_shallow_clone_is_completed(work: Path, tmp_path: Path) -> None:
    """As continuous integration makes it: one commit deep, without tags."""
    bare = make_bare(tmp_path / "remote.git", work)
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", bare.as_uri(), "clone")
    checkout = await open_directory(tmp_path / "clone" / "app", allow_dirty=False)
    expected = await commits_since(await open_directory(work / "app", allow_dirty=False), "v1.1.0")
    assert await commits_since(checkout, "v1.1.0") == expected
    assert not (tmp_path / "clone" / ".git" / "shallow").exists()
    assert "promisor" not in (tmp_path / "clone" / ".git" / "config").read_text()

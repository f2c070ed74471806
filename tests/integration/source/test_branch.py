"""The branch that a source is on, which says whose cache it may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.source.branch import branch_name, branch_of
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from tests.git_repository import commit, git, make_bare, make_repository


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work tree with `main`, `next` (the remote's default branch) and `topic/x`, each with a commit of its own."""
    work = make_repository(tmp_path / "work")
    for branch in ("next", "topic/x"):
        git(work, "switch", "--quiet", "--create", branch, "main")
        commit(work, f"feat: {branch}", {"file": branch})
    bare = make_bare(tmp_path / "bare", work)
    git(bare, "symbolic-ref", "HEAD", "refs/heads/next")
    git(work, "remote", "add", "origin", str(bare))
    return work


async def of_url(work: Path, ref: str | None) -> str | None:
    async with await fetch_git(f"file://{work.parent / 'bare'}", ref=ref, workdir=work.parent / "fetched") as checkout:
        return await branch_of(checkout, "origin", None)


async def of_directory(work: Path, remote: str = "origin") -> str | None:
    return await branch_of(await open_directory(work, allow_dirty=False), remote, None)


async def test_of_a_fetched_revision(work: Path) -> None:
    """A branch by its name, a commit or a tag by the branch whose head it is; "" for the default branch."""
    head = git(work, "rev-parse", "topic/x")
    assert await of_url(work, None) == await of_url(work, "next") == await of_url(work, git(work, "rev-parse", "next"))
    assert await of_url(work, "next") == ""
    for ref in ("topic/x", "heads/topic/x", "refs/heads/topic/x", head):
        assert await of_url(work, ref) == "topic/x"


async def test_of_a_revision_on_no_branchs_head(work: Path) -> None:
    """It is not known, so nobody's cache is written: a tag that bears a branch's name is not that branch."""
    git(work, "switch", "--quiet", "--detach", "topic/x")
    commit(work, "feat: only tagged", {"file": "tagged"})
    git(work, "tag", "next")
    git(work, "push", "--quiet", "origin", "refs/tags/next")
    assert await of_url(work, "refs/tags/next") is None
    assert await of_url(work, "next") is None
    assert await of_directory(work) is None


async def test_of_a_work_tree(work: Path) -> None:
    """What HEAD names, even with commits that nobody has pushed; detached, as of a fetched revision."""
    assert await of_directory(work) == "topic/x"
    commit(work, "feat: not pushed", {"file": "new"})
    assert await of_directory(work) == "topic/x"
    git(work, "switch", "--quiet", "next")
    assert await of_directory(work) == ""
    git(work, "switch", "--quiet", "--detach", "main")
    assert await of_directory(work) == "main"


async def test_without_a_remote(work: Path, tmp_path: Path) -> None:
    """`main` is the default branch; a directory without git has no branch."""
    assert await of_directory(work, "-") == "topic/x"
    git(work, "switch", "--quiet", "main")
    assert await of_directory(work, "-") == await of_directory(work, "absent") == ""
    (tmp_path / "plain").mkdir()
    assert await of_directory(tmp_path / "plain") == ""


async def test_a_remote_that_does_not_answer(work: Path) -> None:
    """Is an error, which a release takes for a branch that is not known."""
    git(work, "remote", "set-url", "origin", str(work.parent / "gone"))
    with pytest.raises(SourceError):
        await of_directory(work)


async def test_the_branch_that_decides_about_versions(work: Path, tmp_path: Path) -> None:
    """It is never guessed: a commit may be the head of several branches, and a stable version cannot be taken back."""

    async def fetched(ref: str | None, *, default: bool = True) -> str:
        async with await fetch_git(f"file://{tmp_path / 'bare'}", ref=ref, workdir=tmp_path / "fetched") as checkout:
            return await branch_name(checkout, None, default=default)

    async def here() -> str:
        return await branch_name(await open_directory(work, allow_dirty=False), None, default=True)

    git(work, "tag", "sometag")
    git(work, "push", "--quiet", "origin", "sometag")
    assert await fetched(None) == "next"
    assert await fetched(None, default=False) == ""
    assert await fetched("topic/x") == await fetched("refs/heads/topic/x") == "topic/x"
    assert await fetched("HEAD") == "next"
    assert await fetched("sometag") == await fetched("refs/tags/sometag") == ""
    assert await fetched(git(work, "rev-parse", "next")) == ""
    assert await here() == "topic/x"
    git(work, "tag", "topic/x")
    git(work, "push", "--quiet", "origin", "refs/tags/topic/x")
    assert await here() == await fetched("heads/topic/x") == "topic/x"
    assert await fetched("topic/x") == ""
    git(work, "switch", "--quiet", "--detach")
    assert await here() == ""

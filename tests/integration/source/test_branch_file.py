"""A changelog is committed on the branch together with the tag, whatever happens there at the same time."""

from __future__ import annotations

import asyncio
import shlex
from functools import partial
from pathlib import Path

import pytest

from prefect_slipway.flows.notes.changelog import with_notes
from prefect_slipway.infra.domain.changelog import changelog_commit
from prefect_slipway.infra.domain.ledger import Announcement, Claim, FileEdit
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from prefect_slipway.infra.source.ledger import GitLedger
from tests.contract.ledger_contract import exactly
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import serve_git


def _told(version: str, *, path: str = "CHANGELOG.md", ref: str = "main") -> Announcement:
    add = partial(with_notes, version=version, date="2026-11-26", notes="- x")
    return Announcement(f"v{version}\n\nwhat is new", FileEdit(ref, path, add, changelog_commit(f"v{version}")))


async def _publish(place: Path, version: str, **where: str) -> str:
    ledger = await GitLedger.open(await open_directory(place, allow_dirty=True), prefix="v")
    reservation = await ledger.reserve(Claim(version, version), exactly(version))
    return await ledger.publish(reservation, _told(version, **where))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work")


@pytest.fixture
def bare(work: Path, tmp_path: Path) -> Path:
    bare = make_bare(tmp_path / "served" / "app.git", work)
    git(bare, "config", "http.receivepack", "true")
    return bare


def _clone(bare: Path, name: str) -> Path:
    git(bare.parent, "clone", "--quiet", str(bare), name)
    return bare.parent / name


async def test_what_was_pushed_meanwhile_stays(bare: Path) -> None:
    """The changelog comes after it; the tag names the commit that was built."""
    ours, theirs = _clone(bare, "ours"), _clone(bare, "theirs")
    built = git(ours, "rev-parse", "HEAD")
    moved = commit(theirs, "feat: meanwhile", {"CHANGELOG.md": "# Log\n\n## 0.0.1\n", "more": "x"})
    git(theirs, "push", "--quiet")
    assert await _publish(ours, "0.1.0") == ""
    assert git(bare, "rev-parse", "v0.1.0^{commit}", "main^") == f"{built}\n{moved}"
    assert git(bare, "show", "main:CHANGELOG.md") == "# Log\n\n## 0.1.0\n\n- x\n\n## 0.0.1"
    assert git(bare, "show", "main:more") == "x"


async def test_no_other_file_changes(bare: Path) -> None:
    """Also where this clone has another commit in the place of the branch's (git-replace(1))."""
    clone = _clone(bare, "clone")
    revision = commit(clone, "feat: more", {"more": "x"})
    git(clone, "push", "--quiet")
    git(clone, "replace", revision, f"{revision}~1")
    assert await _publish(clone, "0.1.0") == ""
    assert git(bare, "diff", "--name-only", revision, "main") == "CHANGELOG.md"


async def test_a_fetched_source_knows_enough(bare: Path, work: Path, tmp_path: Path) -> None:
    """Over HTTP, without a history, and with a file in a folder that is not there yet."""
    with serve_git(bare.parent) as server:
        checkout = await fetch_git(server.url("app.git"), ref=None, workdir=tmp_path / "fetched")
        commit(work, "fix: meanwhile", {"docs/guide.md": "x"})
        git(work, "push", "--quiet", str(bare), "main")
        ledger = await GitLedger.open(checkout, prefix="v")
        reservation = await ledger.reserve(Claim("run", "a"), exactly("0.1.0"))
        told = _told("0.1.0", path="docs/log/CHANGELOG.md", ref="HEAD")
        assert await ledger.publish(reservation, told) == ""
        assert await ledger.publish(reservation, told) == "", "once more"
    assert git(bare, "show", "main:docs/log/CHANGELOG.md").startswith("# Changelog\n\n## 0.1.0 - ")
    assert git(bare, "show", "main:docs/guide.md") == "x"
    assert git(bare, "rev-list", "--count", "main") == "3"
    assert git(bare, "fsck", "--strict", "--no-dangling") == ""


async def test_several_at_once_lose_nothing(bare: Path) -> None:
    """Each rebases on the others."""
    versions = [f"0.{number}.0" for number in range(1, 7)]
    clones = [_clone(bare, f"clone-{version}") for version in versions]
    assert await asyncio.gather(*map(_publish, clones, versions)) == [""] * len(versions)
    log = git(bare, "show", "main:CHANGELOG.md")
    assert sorted(line.split()[1] for line in log.split("\n") if line.startswith("## ")) == versions
    assert len(git(bare, "tag").split()) == len(versions)


async def test_what_cannot_be_written_is_a_warning(bare: Path, work: Path) -> None:
    """The version is public: a link in place of the file, another encoding, another line of history, no branch."""
    ours = _clone(bare, "ours")
    (ours / "CHANGELOG.md").symlink_to("/etc/passwd")
    (ours / "utf-16.md").write_text("# Changelog\n", encoding="utf-16")
    commit(ours, "feat: a link", {})
    git(ours, "push", "--quiet")
    assert "utf-16.md is not a text in UTF-8" in await _publish(ours, "0.0.9", path="utf-16.md")
    assert "leads through something" in await _publish(ours, "0.1.0")
    assert "is not a branch" in await _publish(ours, "0.2.0", ref="")
    commit(ours, "feat: not pushed", {})
    assert "does not contain the released commit" in await _publish(ours, "0.3.0", path="other.md")
    assert git(bare, "tag").split() == ["v0.0.9", "v0.1.0", "v0.2.0", "v0.3.0"]
    assert git(bare, "rev-list", "--count", "main") == "2"


async def test_a_server_that_never_lets_the_branch_move_is_a_warning(work: Path) -> None:
    """Such as a work tree that has it checked out: git says that it is somebody's race, or that it refuses."""
    ours = _clone(work, "ours")
    assert "CHANGELOG.md does not have the notes" in await _publish(ours, "0.1.0")
    assert git(work, "tag") == "v0.1.0"


async def test_work_trees_stay_as_they_are(work: Path, tmp_path: Path) -> None:
    """A file that nobody committed is not overwritten, and no branch moves below another work tree."""
    (work / "CHANGELOG.md").write_text("mine\n")
    (work / ".git" / "info" / "exclude").write_text("*.md\n")
    assert "CHANGELOG.md is not committed" in await _publish(work, "0.1.0")
    assert (work / "CHANGELOG.md").read_text() == "mine\n"
    (work / "CHANGELOG.md").unlink()
    git(work, "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    assert f"refs/heads/main is checked out in {work}" in await _publish(tmp_path / "other", "0.2.0")
    assert git(work, "status", "--porcelain") == "" and git(work, "rev-list", "--count", "main") == "1"
    git(tmp_path / "other", "switch", "--quiet", "--create", "next")
    assert await _publish(tmp_path / "other", "0.3.0", ref="next") == ""
    assert (tmp_path / "other" / "CHANGELOG.md").exists()
    assert git(tmp_path / "other", "status", "--porcelain") == ""


async def test_a_work_tree_that_is_busy_is_told_what_to_do(work: Path) -> None:
    """The branch has the notes already: git as it is would take them back with the next commit."""
    (work / ".git" / "index.lock").touch()
    warning = await _publish(work, "0.1.0")
    assert "has the notes on refs/heads/main, and not yet in this work tree" in warning
    assert git(work, "show", "main:CHANGELOG.md").startswith("# Changelog\n\n## 0.1.0")
    (work / ".git" / "index.lock").unlink()
    git(work, *shlex.split(warning.split("`")[1])[1:])
    assert git(work, "status", "--porcelain") == ""


async def test_a_clone_that_cannot_have_the_tag_is_a_warning(bare: Path) -> None:
    """The version is public."""
    ours = _clone(bare, "ours")
    git(ours, "tag", "v0.1.0/mine")
    assert "does not have the tag" in await _publish(ours, "0.1.0")
    assert git(bare, "tag") == "v0.1.0" and git(bare, "show", "main:CHANGELOG.md")

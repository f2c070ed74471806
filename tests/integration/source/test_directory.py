"""A directory as the source: plain, in a git work tree, dirty, ignored, without a commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import DirtyTree, LfsFilesMissing, PartMissing, SourceDenied, SourceMissing
from prefect_slipway.infra.source.directory import open_directory
from tests.git_repository import commit, git, make_repository


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_repository(
        tmp_path / "work", {"Dockerfile": "FROM scratch\n", "app/main": "x\n", ".gitignore": "*.log\nbuild/\n"}
    )


async def test_a_plain_directory_has_no_revision(tmp_path: Path) -> None:
    """Outside of git: identified by its entries, never dirty, and closing it removes nothing."""
    (tmp_path / "source" / "sub").mkdir(parents=True)
    (tmp_path / "source" / "file").write_text("x")
    async with await open_directory(tmp_path / "source", allow_dirty=False) as checkout:
        assert checkout.path == tmp_path / "source"
        assert checkout.name == "source"
        assert (checkout.revision, checkout.repository, checkout.committed_at) == (None, None, None)
        assert checkout.fingerprint.startswith("tree:")
        assert not checkout.dirty
        assert not checkout.is_repository_root
    assert (tmp_path / "source" / "file").exists()


async def test_every_change_changes_a_plain_directorys_fingerprint(tmp_path: Path) -> None:
    """Content, mode, time, name, link target and type count; reading the same again gives the same."""
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_text("one")
    (root / "link").symlink_to("file")
    seen = {(await open_directory(root, allow_dirty=False)).fingerprint}
    assert {(await open_directory(root, allow_dirty=False)).fingerprint} == seen

    async def changed(what: str) -> None:
        fingerprint = (await open_directory(root, allow_dirty=False)).fingerprint
        assert fingerprint not in seen, what
        seen.add(fingerprint)

    (root / "file").write_text("three")
    await changed("size")
    (root / "file").chmod(0o755)
    await changed("mode")
    os.utime(root / "file", ns=(1, 1))
    await changed("time")
    (root / "file").rename(root / "other")
    await changed("name")
    (root / "link").unlink()
    (root / "link").symlink_to("other")
    await changed("link target")
    (root / "sub" / "empty").mkdir()
    await changed("empty directory")


async def test_a_clean_work_tree_is_its_revision(work: Path) -> None:
    """HEAD's full id, time and place; ignored files do not matter."""
    (work / "debug.log").write_text("x")
    git(work, "remote", "add", "origin", "https://robot:secret@example.com/team/app.git")
    checkout = await open_directory(work, allow_dirty=False)
    assert checkout.revision == git(work, "rev-parse", "HEAD")
    assert checkout.fingerprint == f"git:{checkout.revision}:"
    assert checkout.committed_at == int(git(work, "show", "-s", "--format=%ct"))
    assert checkout.repository == work
    assert checkout.is_repository_root
    assert checkout.source_url == "https://example.com/team/app.git"
    assert "secret" not in repr(checkout)


@pytest.mark.parametrize(
    ("origin", "label"),
    [
        ("git@example.com:team/app.git", "ssh://example.com/team/app.git"),
        ("ssh://git@example.com:2222/team/app.git", "ssh://example.com:2222/team/app.git"),
        ("../elsewhere", None),
        ("ext::sh -c x", None),
    ],
)
async def test_the_label_is_the_origins_url(work: Path, origin: str, label: str | None) -> None:
    """Without user information; a place on this machine is no label."""
    git(work, "remote", "add", "origin", origin)
    assert (await open_directory(work, allow_dirty=False)).source_url == label


@pytest.mark.parametrize("change", ["modified", "staged", "untracked", "deleted", "renamed"])
async def test_a_dirty_tree_is_refused_unless_allowed(work: Path, change: str) -> None:
    """Every kind of uncommitted change is seen, named, and allowed on request; the fingerprint is the content's."""
    match change:
        case "modified":
            (work / "app/main").write_text("changed\n")
        case "staged":
            (work / "app/main").write_text("changed\n")
            git(work, "add", "--all")
        case "untracked":
            (work / "app/new").write_text("new\n")
        case "deleted":
            (work / "app/main").unlink()
        case "renamed":
            git(work, "mv", "app/main", "app/other")
    with pytest.raises(DirtyTree) as caught:
        await open_directory(work, allow_dirty=False)
    assert "app/" in caught.value.details
    checkout = await open_directory(work, allow_dirty=True)
    assert checkout.dirty
    assert checkout.revision == git(work, "rev-parse", "HEAD")
    assert checkout.fingerprint.startswith("tree:")


async def test_only_changes_below_the_source_count(work: Path) -> None:
    """A subdirectory is clean while its neighbour is not."""
    (work / "other").write_text("x")
    checkout = await open_directory(work / "app", allow_dirty=False)
    assert not checkout.dirty
    assert checkout.subdirectory == "app"
    assert checkout.fingerprint == f"git:{checkout.revision}:app"
    assert not checkout.is_repository_root


async def test_an_ignored_directory_is_a_plain_one(work: Path) -> None:
    """What git ignores has no revision, whatever repository lies around it; a tracked file in it changes that."""
    (work / "build").mkdir()
    (work / "build" / "Dockerfile").write_text("FROM scratch\n")
    checkout = await open_directory(work / "build", allow_dirty=False)
    assert (checkout.revision, checkout.repository) == (None, None)
    git(work, "add", "--force", "build/Dockerfile")
    commit(work, "feat: build", {})
    assert (await open_directory(work / "build", allow_dirty=False)).revision is not None


async def test_a_modified_submodule_is_dirty(work: Path, tmp_path: Path) -> None:
    """Changes inside a submodule are changes of the source."""
    library = make_repository(tmp_path / "library")
    git(work, "submodule", "--quiet", "add", str(library), "library")
    commit(work, "feat: library", {})
    assert not (await open_directory(work, allow_dirty=False)).dirty
    (work / "library" / "new").write_text("x")
    with pytest.raises(DirtyTree):
        await open_directory(work, allow_dirty=False)


@pytest.mark.parametrize("mark", ["assume-unchanged", "skip-worktree"])
async def test_what_git_is_told_to_overlook_is_looked_at(work: Path, mark: str) -> None:
    """A marked file that was changed, or is missing, makes the tree dirty; one that is as committed does not. The marks
    stay, and so does everything else in the index."""
    git(work, "update-index", f"--{mark}", "app/main", "Dockerfile")
    before = (work / ".git" / "index").read_bytes()
    assert not (await open_directory(work, allow_dirty=False)).dirty
    (work / "app/main").write_text("changed\n")
    for source, name in ((work, "app/main"), (work / "app", "main")):
        with pytest.raises(DirtyTree) as caught:
            await open_directory(source, allow_dirty=False)
        assert caught.value.details == f"  {name} ({mark})"
    (work / "app/main").unlink()
    with pytest.raises(DirtyTree):
        await open_directory(work, allow_dirty=False)
    assert (work / ".git" / "index").read_bytes() == before


async def test_what_stands_in_the_place_of_a_commit_is_a_change(work: Path) -> None:
    """The revision names the commit that every clone has (git-replace(1))."""
    revision = commit(work, "feat: other", {"app/main": "other\n"})
    git(work, "replace", revision, f"{revision}~1")
    git(work, "reset", "--quiet", "--hard")
    assert git(work, "status", "--porcelain") == ""
    with pytest.raises(DirtyTree, match="app/main"):
        await open_directory(work, allow_dirty=False)


async def test_a_folder_may_be_called_anything(tmp_path: Path) -> None:
    """With a line break, and not in UTF-8."""
    work = make_repository(tmp_path / "a\nb\udcff", {"c\n/Dockerfile": "FROM scratch\n"})
    checkout = await open_directory(work / "c\n", allow_dirty=False)
    assert (checkout.repository, checkout.subdirectory) == (work, "c\n")
    assert checkout.revision == git(work, "rev-parse", "HEAD")


async def test_both_marks_at_once_are_looked_through(work: Path) -> None:
    """A file may carry both."""
    for mark in ("assume-unchanged", "skip-worktree"):
        git(work, "update-index", f"--{mark}", "app/main")
    (work / "app/main").write_text("changed\n")
    with pytest.raises(DirtyTree, match="app/main"):
        await open_directory(work, allow_dirty=False)


async def test_a_sparse_checkout_lacks_what_its_commit_has(work: Path) -> None:
    """Its root is not the commit; a directory that is there whole is."""
    commit(work, "feat: more", {"other/file": "x"})
    git(work, "sparse-checkout", "set", "app")
    with pytest.raises(DirtyTree) as caught:
        await open_directory(work, allow_dirty=False)
    assert "other/file (skip-worktree)" in caught.value.details
    assert "git sparse-checkout disable" in caught.value.action
    (work / "app" / "main").write_text("changed\n")
    with pytest.raises(DirtyTree) as caught:
        await open_directory(work, allow_dirty=False)
    assert "commit or stash the changes" in caught.value.action
    git(work, "checkout", "--quiet", ".")
    assert not (await open_directory(work / "app", allow_dirty=False)).dirty


async def test_what_only_this_clone_ignores_is_a_change(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """.git/info/exclude and a user's own excludes are not the repository's: another clone knows nothing of them."""
    (work / "app" / "extra.log").write_text("ignored by .gitignore\n")
    (work / ".git" / "info" / "exclude").write_text("/app/secret\n")
    (work / "app" / "secret").write_text("x")
    user = work.parent / "gitconfig"
    user.write_text(f"[core]\n\texcludesFile = {work.parent}/ignore\n")
    (work.parent / "ignore").write_text("cache/\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(user))
    (work / "cache").mkdir()
    (work / "cache" / "x").write_text("x")
    with pytest.raises(DirtyTree) as caught:
        await open_directory(work, allow_dirty=False)
    assert caught.value.details.splitlines() == [
        "  app/secret (ignored only in this clone)",
        "  cache/ (ignored only in this clone)",
    ]


async def test_what_a_submodule_overlooks_is_a_change(work: Path, tmp_path: Path) -> None:
    """The same inside of a submodule."""
    git(work, "submodule", "--quiet", "add", str(make_repository(tmp_path / "library", {"a": "1"})), "library")
    commit(work, "feat: library", {})
    git(work / "library", "update-index", "--assume-unchanged", "a")
    (work / "library" / "a").write_text("2")
    with pytest.raises(DirtyTree, match=r"library/a \(assume-unchanged\)"):
        await open_directory(work, allow_dirty=False)


@pytest.mark.parametrize("attributes", [".gitattributes", "app/.gitattributes"])
async def test_lfs_pointers_are_not_taken_for_files(
    work: Path, monkeypatch: pytest.MonkeyPatch, attributes: str
) -> None:
    """Unless somebody wants them, or they lie outside of the source. A file that merely reads like one is a file."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    commit(work, "docs: how LFS works", {"pointer.md": pointer, "lib/main": "x\n"})
    assert (await open_directory(work, allow_dirty=False)).path == work
    # Without the filter, as in a clone that was made without git-lfs.
    for name, value in (("process", ""), ("clean", ""), ("smudge", ""), ("required", "false")):
        git(work, "config", f"filter.lfs.{name}", value)
    commit(work, "feat: a model", {attributes: "*.bin filter=lfs\n", "app/ä.bin": pointer, "app/real.bin": "x\n"})
    with pytest.raises(LfsFilesMissing, match=r"in place of files: app/ä\.bin"):
        await open_directory(work / "app", allow_dirty=False)
    assert (await open_directory(work / "lib", allow_dirty=False)).subdirectory == "lib"
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    assert (await open_directory(work, allow_dirty=False)).path == work


async def test_a_repository_without_a_commit_is_dirty(tmp_path: Path) -> None:
    """Nothing is committed yet: refused, or released without a revision when allowed."""
    git(tmp_path, "init", "--quiet", "fresh")
    (tmp_path / "fresh" / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(DirtyTree, match="nothing is committed yet"):
        await open_directory(tmp_path / "fresh", allow_dirty=False)
    checkout = await open_directory(tmp_path / "fresh", allow_dirty=True)
    assert (checkout.revision, checkout.committed_at, checkout.dirty) == (None, None, True)


async def test_odd_names_are_taken_as_they_are(tmp_path: Path) -> None:
    """Pathspec magic, blanks and bytes that are no UTF-8 in names confuse nothing."""
    work = make_repository(tmp_path / "work", {":(top) *": "x", "sub [a]/file": "x"})
    Path(os.fsdecode(os.fsencode(work) + b"/sub [a]/\xff\n")).write_text("x")
    with pytest.raises(DirtyTree) as caught:
        await open_directory(work / "sub [a]", allow_dirty=False)
    assert "1 uncommitted change" in caught.value.cause
    str(caught.value).encode()


async def test_missing_directories_are_said(tmp_path: Path) -> None:
    """A path that is not there, or is a file, is SourceMissing."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceMissing, match="does not exist"):
        await open_directory(tmp_path / "nothing", allow_dirty=False)
    with pytest.raises(SourceMissing, match="is not a directory"):
        await open_directory(tmp_path / "file", allow_dirty=False)


async def test_another_users_repository_is_refused_with_the_way_out(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git's guard against foreign repositories is kept, and explained."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(SourceDenied, match=r"safe\.directory"):
        await open_directory(work, allow_dirty=False)


async def test_git_is_needed_only_in_a_repository(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git on the machine a plain directory still works, and a work tree says what is missing."""
    (tmp_path / "plain").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert (await open_directory(tmp_path / "plain", allow_dirty=False)).revision is None
    with pytest.raises(PartMissing, match="git"):
        await open_directory(work, allow_dirty=False)


async def test_looking_changes_nothing(work: Path) -> None:
    """The user's index is not even refreshed."""
    os.utime(work / "app/main", ns=(1, 1))
    before = (work / ".git" / "index").read_bytes()
    await open_directory(work, allow_dirty=False)
    assert (work / ".git" / "index").read_bytes() == before


# Configuration that came with the files -------------------------------------------------------------------------

PROGRAMS = ("filter.x.clean", "filter.x.process", "core.fsmonitor", "core.sshCommand", "core.askPass", "core.pager",
            "core.editor", "diff.external", "diff.x.textconv", "gpg.program", "credential.helper", "core.gitProxy",
            "core.alternateRefsCommand", "remote.origin.uploadpack", "remote.origin.receivepack", "sequence.editor",
            "interactive.diffFilter", "merge.x.driver", "difftool.x.cmd", "uploadpack.packObjectsHook")  # fmt: skip


def booby_trapped(folder: Path, mark: Path) -> Path:
    """A repository each of whose settings, and hooks, would leave a mark, with a file that differs from its commit."""
    repository = make_repository(folder, {"Dockerfile": "FROM scratch\n", ".gitattributes": "* filter=x diff=x\n"})
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (repository / ".git/hooks").mkdir(exist_ok=True)
        (repository / ".git/hooks" / hook).write_text(f"#!/bin/sh\necho {hook} >> {mark}\n")
        (repository / ".git/hooks" / hook).chmod(0o755)
    for name in PROGRAMS:
        git(
            repository, "config", name, f"!echo {name} >> {mark}" if "helper" in name else f"echo {name} >> {mark}; cat"
        )
    # Of the same size: git has to look into it.
    (repository / "Dockerfile").write_text("from scratch\n")
    return repository


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
async def test_the_configuration_of_somebody_elses_repository_runs_nothing(tmp_path: Path) -> None:
    """git refuses a repository that another user owns (safe.directory), before it reads what would run."""
    mark = tmp_path / "mark"
    repository = booby_trapped(tmp_path / "app", mark)
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 65534, 65534)
    with pytest.raises(SourceDenied, match="another user owns"):
        await open_directory(repository, allow_dirty=True)
    assert not mark.exists()


async def test_a_repository_among_the_files_runs_nothing(tmp_path: Path) -> None:
    """A folder that looks like a bare repository may come with any archive or clone, and names its own work tree."""
    mark = tmp_path / "mark"
    outer = make_repository(tmp_path / "outer")
    inner = booby_trapped(tmp_path / "inner", mark)
    (inner / ".git").rename(outer / "sub")
    git(tmp_path, "config", "--file", str(outer / "sub/config"), "core.bare", "false")
    git(tmp_path, "config", "--file", str(outer / "sub/config"), "core.worktree", str(outer / "sub"))
    (outer / "sub" / "Dockerfile").write_text("FROM scratch\n")
    checkout = await open_directory(outer / "sub", allow_dirty=True)
    assert (checkout.revision, checkout.repository) == (None, None)
    assert not mark.exists()


async def test_of_a_repository_of_ones_own_filters_alone_run(tmp_path: Path) -> None:
    """As docs/guides/application.md says: git cannot tell without them whether a file is as it was committed (Git LFS).
    Hooks, monitors, external diffs, pagers and helpers have no part in it.
    """
    mark = tmp_path / "mark"
    repository = booby_trapped(tmp_path / "app", mark)
    await open_directory(repository, allow_dirty=True)
    assert set(mark.read_text().split()) <= {"filter.x.clean", "filter.x.process"}

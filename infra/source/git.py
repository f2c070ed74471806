"""A git repository as the source: exactly the requested revision, in a separate directory."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import InvalidOption, RefUnknown, SourceError
from prefect_slipway.infra.source.bare import first_fetch
from prefect_slipway.infra.source.causes import git_error, run_git
from prefect_slipway.infra.source.checkout import Checkout, enter_subdirectory
from prefect_slipway.infra.source.command import FETCH, Remote, git, streamed
from prefect_slipway.infra.source.lfs import lfs_settings
from prefect_slipway.infra.source.limits import UnpackLimits, unusable
from prefect_slipway.infra.source.url import GitUrl, check_no_user, check_ref, check_subdirectory, is_full_id
from prefect_slipway.infra.source.workdir import fetch_folder, in_thread

# What git notes of a fetched branch (builtin/fetch.c): "ID TAB TAB branch 'NAME' of URL".
_BRANCH = re.compile(r"\tbranch '(\S+)' of ")
_UMASK = 0o022  # modes of files are part of an image's digest
# What is checked out depends on the repository alone, not on this user's settings.
_CHECKOUT_CONFIG = {
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.symlinks": "true",
}


async def fetch_git(
    url: str,
    *,
    ref: str | None,
    subdirectory: str = "",
    submodules: bool = False,
    credentials: CredentialSource | None = None,
    ca_file: Path | None = None,
    workdir: Path,
) -> Checkout:
    """Fetch one revision of a repository, without its history, into a new folder below `workdir`.

    `ref`: a branch, a tag (which goes before a branch of its name, as everywhere in git) or a full commit id;
    None takes the repository's default branch. `submodules`: fetched too, as deep as they nest.
    `credentials`: asked for the URL's host when it speaks http(s). `ca_file`: PEM with the CAs to trust instead of
    the system's, also when tags are pushed later. The checked-out tree has no `.git`; the
    repository is a directory beside it whose remote `origin` is the URL. Raises InvalidOption, RefUnknown,
    SourceMissing, SourceDenied, SourceTlsError, SourceUnreachable, SourceDiskFull; whatever happens, nothing
    but a returned checkout stays.
    """
    address = GitUrl.parse(url)
    check_no_user(url)
    asked, ref = ref, "HEAD" if ref is None else check_ref(ref)
    subdirectory = check_subdirectory(subdirectory)
    remote = Remote(address, credentials, _existing(ca_file))
    async with fetch_folder(workdir) as folder:
        repository, tree = folder / "git", folder / "tree" / address.name
        revision, branch = await first_fetch(
            repository, {"remote.origin.url": address.text}, lambda: _fetch(repository, remote, ref)
        )
        await _check_paths(repository, remote, revision)
        tree.mkdir(parents=True)
        await _check_out(repository, tree, remote, revision, submodules=submodules)
        committed_at = await run_git(str(repository), "show", "-s", "--format=%ct", revision, cwd=repository)
        path = enter_subdirectory(tree, subdirectory, f"{address.shown} at {ref}")
        return Checkout(
            path=path,
            name=path.name,
            fingerprint=f"git:{revision}:{subdirectory}" + ("+submodules" if submodules else ""),
            revision=revision,
            source_url=address.label,
            committed_at=int(committed_at),
            repository=repository,
            subdirectory=subdirectory,
            temporary=folder,
            ca_file=ca_file,
            ref=asked,
            branch=branch,
        )


def _existing(ca_file: Path | None) -> Path | None:
    if ca_file is not None and not ca_file.is_file():
        raise InvalidOption(f"the CA file {ca_file} does not exist", action="check --source-ca")
    return ca_file


async def _fetch(repository: Path, remote: Remote, ref: str) -> tuple[str, str]:
    """Fetch `ref` and return its commit id, and the branch that it names ("" if it names none)."""
    subject = f"{remote.url.shown}, ref {ref}" if ref != "HEAD" else remote.url.shown
    answer = await git(*FETCH, "--depth=1", "origin", ref, cwd=repository, remote=remote)
    if answer.status != 0:
        error = await git_error(subject, answer)
        if not isinstance(error, RefUnknown) or not is_full_id(ref):
            raise error
        # Servers may refuse commit ids that no ref shows: then the commit has to be among all there is.
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        await run_git(subject, *FETCH, "origin", *everything, cwd=repository, remote=remote)
    name = ref if is_full_id(ref) else "FETCH_HEAD"
    commit = await git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", cwd=repository)
    if commit.status != 0:
        raise RefUnknown(f"{subject}: no such commit")
    revision = commit.out.strip()
    # Keeps the commit, and says what to fetch when more of its history is needed.
    kept = f"+{ref}:refs/remotes/origin/source"
    await run_git(subject, "update-ref", "refs/heads/source", revision, cwd=repository)
    await run_git(subject, "config", "remote.origin.fetch", kept, cwd=repository)
    # Of a commit id all branches may have been fetched.
    noted = "" if is_full_id(ref) else (repository / "FETCH_HEAD").read_text(encoding="utf-8", errors="surrogateescape")
    named = _BRANCH.search(noted)
    return revision, named[1] if named is not None else ""


async def _check_paths(repository: Path, remote: Remote, revision: str) -> None:
    """Raises SourceError for a tree that is too deep or too large, before any of it is written: a few objects suffice
    to describe one with more files than a disk has room for.
    """
    limit = UnpackLimits().entries
    count = 0
    async with streamed("ls-tree", "-r", "-z", "--name-only", revision, cwd=repository) as paths:
        async for path in paths:
            count += 1
            wrong = f"more than {limit} files" if count > limit else unusable(path)
            if wrong:
                raise SourceError(f"{remote.url.shown} contains {wrong}", action="do not check it out; ask its owner")


async def _check_out(repository: Path, tree: Path, remote: Remote, revision: str, *, submodules: bool) -> None:
    where = (f"--git-dir={repository}", f"--work-tree={tree}")
    steps: list[tuple[str, ...]] = [("checkout", "--quiet", "--detach", "--force", revision)]
    if submodules:
        steps.append(("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"))
    config = _CHECKOUT_CONFIG | lfs_settings(os.environ, local=remote.url.scheme == "file")
    for step in steps:
        answer = await git(*where, *step, cwd=tree, remote=remote, config=config, umask=_UMASK, submodules=submodules)
        if answer.status != 0:
            what = "a submodule of " if step[0] == "submodule" else ""
            raise await git_error(f"{what}{remote.url.shown}", answer)
    if submodules:
        await in_thread(lambda check: _forget_submodules(tree, remote.url.shown, check))


def _forget_submodules(tree: Path, shown: str, check: Callable[[], None]) -> None:
    """Submodules point to their repositories with a `.git` file that holds a path of this machine."""
    waiting = [""]
    while waiting:
        check()
        folder = waiting.pop()
        if wrong := unusable(folder):
            raise SourceError(f"{shown} with its submodules contains {wrong}", action="remove --submodules")
        with os.scandir(tree / folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(posixpath.join(folder, entry.name))
                elif entry.name == ".git" and entry.is_file(follow_symlinks=False):
                    Path(entry.path).unlink()

"""What git knows about the past: tags, and the commits since a release."""

from __future__ import annotations

from pathlib import Path

from flows.domain.commits import Commit
from flows.domain.credentials import CredentialSource
from flows.domain.errors import RefUnknown
from infra.source.causes import git_error, run_git
from infra.source.checkout import Checkout
from infra.source.command import FETCH, Remote, git
from infra.source.url import GitUrl, is_full_id


async def remote_of(
    repository: Path,
    name: str,
    credentials: CredentialSource | None,
    *,
    ca_file: Path | None = None,
    push: bool = False,
) -> Remote | None:
    """The remote that the repository knows as `name`, to fetch from or to `push` to; None if there is none."""
    answer = await git("remote", "get-url", *(["--push"] if push else []), "--", name, cwd=repository)
    if answer.status != 0:
        return None
    return Remote(GitUrl.parse(answer.out.strip(), base=repository), credentials, ca_file)


async def tags(source: Path | Remote) -> dict[str, str]:
    """The tags of a repository on this machine or of a remote one, each with the commit it names."""
    if isinstance(source, Remote):
        listed = await run_git(source.url.shown, "ls-remote", "--", source.url.text, "refs/tags/*", remote=source)
    else:
        answer = await git("show-ref", "--tags", "--dereference", cwd=source)
        if answer.status > 1 or answer.err:
            raise git_error(str(source), answer)
        listed = answer.out
    return read_tags(listed)


def read_tags(listed: str) -> dict[str, str]:
    """Tags and commits from lines "id ref", where an annotated tag's commit follows as `ref^{}`."""
    found = {}
    for line in listed.splitlines():
        revision, _, ref = line.replace("\t", " ").partition(" ")
        if ref.startswith("refs/tags/"):
            found[ref.removeprefix("refs/tags/").removesuffix("^{}")] = revision
    return found


async def commits_since(
    checkout: Checkout, since: str | None, *, credentials: CredentialSource | None = None
) -> list[Commit]:
    """The commits after `since` up to the checkout's revision that touch its path, newest first.

    `since`: a tag's name, `refs/tags/...` or a full commit id; None for the whole history. What is missing of
    the history is fetched: for a fetched source without file contents, for a user's shallow clone completely.
    Raises RefUnknown when the repository has no such tag, and the errors of fetching.
    """
    if checkout.repository is None or checkout.revision is None:
        return []
    remote = await remote_of(checkout.repository, "origin", credentials, ca_file=checkout.ca_file)
    past = _Past(checkout.repository, remote, ours=checkout.temporary is not None)
    start = None if since is None else await past.find(since)
    if start == checkout.revision:
        return []
    await past.complete(since, start)
    span = checkout.revision if start is None else f"{start}..{checkout.revision}"
    paths = (checkout.subdirectory,) if checkout.subdirectory else ()
    # Without --full-history git leaves out side branches that ended up without an effect.
    log = ("log", "--full-history", "--no-color", "--no-notes", "--encoding=UTF-8", "-z", "--format=%H%n%B")
    listed = await past.run(*log, span, "--", *paths)
    return [Commit(*entry.split("\n", 1)) for entry in listed.split("\0") if entry.strip()]


class _Past:
    """A repository whose history may have to be fetched first. `ours`: it was fetched for this release."""

    def __init__(self, repository: Path, remote: Remote | None, *, ours: bool) -> None:
        self._repository = repository
        self._remote = remote
        self._ours = ours

    async def find(self, since: str) -> str:
        """The commit id of a tag, from this repository or from its remote, whose tag it need not have."""
        if is_full_id(since):
            return since
        tag = since.removeprefix("refs/tags/")
        for place in (self._repository, self._remote):
            if place is not None and (revision := (await tags(place)).get(tag)) is not None:
                return revision
        where = self._remote.url.shown if self._remote is not None else self._repository
        raise RefUnknown(f"{where} has no tag {tag}")

    async def complete(self, since: str | None, start: str | None) -> None:
        """Fetch what is missing up to the commit `start`, or up to the first one.

        Cutting at the tag (--shallow-exclude) would be less, but cuts a merge off from its branch as well
        when that began before the tag: commits would be overlooked.
        """
        if self._remote is None:
            return
        if (await self.run("rev-parse", "--is-shallow-repository")).strip() == "true":
            await self._fetch("--unshallow", *(["--filter=blob:none"] if self._ours else []))
        if since is not None and start is not None and not await self._has(start):
            await self._fetch(since=start if since == start else f"refs/tags/{since.removeprefix('refs/tags/')}")

    async def run(self, *args: str) -> str:
        return await run_git(str(self._repository), *args, cwd=self._repository, remote=self._remote)

    async def _has(self, revision: str) -> bool:
        answer = await git("cat-file", "-e", f"{revision}^{{commit}}", cwd=self._repository, remote=self._remote)
        return answer.status == 0

    async def _fetch(self, *options: str, since: str | None = None) -> None:
        assert self._remote is not None, "nothing can be fetched from nowhere"
        # Git ties what it left out to a remote's name, which a user's repository is not to be marked with.
        place = "origin" if self._ours else self._remote.url.text
        refs = () if since is None else (since,)
        await run_git(
            self._remote.url.shown,
            *FETCH,
            "--no-write-fetch-head",
            *options,
            place,
            *refs,
            cwd=self._repository,
            remote=self._remote,
        )

"""The branch that a source is on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.source.causes import run_git
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import Remote, git
from prefect_slipway.infra.source.history import remote_of

_HEADS = "refs/heads/"
_USUAL = ("main", "master")
"""Default branches of repositories that name none (git-init(1), `init.defaultBranch`)."""


async def branch_of(checkout: Checkout, remote: str, credentials: CredentialSource | None) -> str | None:
    """The name of the branch; "" for the default branch and for sources without git; None if it is not known.

    A work tree has a branch, unless its HEAD is detached. A fetched revision belongs to the branch that was asked for,
    or else to a branch whose head it is, the default branch first. `remote`: of a work tree, `-` for none; it names the
    default branch. Raises SourceErrors, if it cannot be asked.
    """
    repository, revision = checkout.repository, checkout.revision
    if repository is None or revision is None:
        return ""
    fetched = checkout.temporary is not None
    if fetched and checkout.ref is None:
        return ""
    where = (
        None if remote == "-" and not fetched else await _remote(checkout, "origin" if fetched else remote, credentials)
    )
    default, heads = await heads_of(repository, where)
    name = checkout.branch if fetched else await _own(checkout)
    if not name or (fetched and heads.get(name) != revision):
        # A tag, a commit id, a detached HEAD.
        name = next((each for each in (default, *sorted(heads)) if heads.get(each) == revision), "")
    return (name if name != default else "") if name else None


async def branch_name(checkout: Checkout, credentials: CredentialSource | None, *, default: bool) -> str:
    """The branch that a source was read from, "" if that is not known: a tag, a commit id, a detached HEAD, no git.

    `default`: ask the server of a fetched source for the name of its default branch.
    """
    if checkout.temporary is None or checkout.repository is None:
        return await ref_of(checkout)
    if checkout.ref in {None, "HEAD"}:
        remote = await _remote(checkout, "origin", credentials) if default else None
        if remote is None:
            return ""
        subject = remote.url.shown
        return _read(await run_git(subject, "ls-remote", "--symref", "--", remote.url.text, "HEAD", remote=remote))[0]
    return checkout.branch


async def ref_of(checkout: Checkout) -> str:
    """The ref that was fetched, as it was asked for (HEAD if none was), or the branch of a work tree; "" without git,
    or with a detached HEAD."""
    if checkout.repository is None or checkout.revision is None:
        return ""
    return (checkout.ref or "HEAD") if checkout.temporary is not None else await _own(checkout)


async def heads_of(repository: Path, remote: Remote | None) -> tuple[str, Mapping[str, str]]:
    """The default branch ("" if there is none) of `remote`, or else of the repository, and the commit of each branch.
    Raises SourceErrors."""
    if remote is not None:
        text = remote.url.text
        listed = await run_git(
            remote.url.shown, "ls-remote", "--symref", "--", text, "HEAD", f"{_HEADS}*", remote=remote
        )
    else:
        show = ("for-each-ref", "--format=%(objectname)\t%(refname)", _HEADS)
        listed = await run_git(str(repository), *show, cwd=repository)
    return _read(listed)


async def _remote(checkout: Checkout, name: str, credentials: CredentialSource | None) -> Remote | None:
    assert checkout.repository is not None, "the checkout is of a repository"
    return await remote_of(checkout.repository, name, credentials, ca_file=checkout.ca_file)


async def _own(checkout: Checkout) -> str:
    """A work tree's branch, "" with a detached HEAD."""
    # Not --short, which is longer where a tag has the branch's name: heads/main.
    answer = await git("symbolic-ref", "--quiet", "HEAD", cwd=checkout.repository)
    return answer.out.strip().removeprefix(_HEADS)


def _read(listed: str) -> tuple[str, Mapping[str, str]]:
    """The default branch ("" if there is none) and the heads, from lines "id ref" and "ref: NAME HEAD"."""
    default, heads = "", {}
    for line in listed.splitlines():
        what, _, ref = line.partition("\t")
        if ref == "HEAD" and what.startswith(f"ref: {_HEADS}"):
            default = what.removeprefix(f"ref: {_HEADS}")
        elif ref.startswith(_HEADS):
            heads[ref.removeprefix(_HEADS)] = what
    return default or next((name for name in _USUAL if name in heads), ""), heads

"""Whether a version has to be approved by a pull request first, and what that would change."""

from __future__ import annotations

import posixpath
from pathlib import Path

from prefect_slipway.flows.planning.next_version import Choice
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.values.forge import PlannedForge, PlannedPullRequest
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.release_commit import release_title
from prefect_slipway.infra.domain.version import Bump
from prefect_slipway.infra.source.branch import heads_of, ref_of
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import Remote
from prefect_slipway.infra.source.history import remote_of
from prefect_slipway.infra.source.url import is_full_id

BRANCH = "slipway/release"
"""How the branches of release pull requests begin."""

CHANGELOG = "CHANGELOG.md"
"""The changelog of a release pull request, if the request names none."""


async def merged_into(run: OpenRun, checkout: Checkout) -> str:
    """The branch that a release pull request is merged into, "" where none is asked for. Raises InvalidOption where it
    could not be opened, or would decide nothing, and SourceErrors."""
    request = run.request
    if not request.approval.pull_request:
        return ""
    if request.forge.token is None:
        raise InvalidOption("--pull-request needs the forge's token", action="pass --forge-token vault:MOUNT/PATH")
    # The version of a component, which has a reason, was decided by the commits before its own release began.
    named = request.version.exact is not None and request.version.reason is None
    if named or request.bump not in {Bump.AUTO, Bump.PRERELEASE}:
        raise InvalidOption(
            "--pull-request needs a version that the commits decide", action="use --bump auto, without --version"
        )
    remote = await remote_for_pulls(run, checkout)
    ref = (request.checkout.branch or await ref_of(checkout)).removeprefix("refs/heads/")
    default, heads = await heads_of(remote[0], remote[1])
    name = default if ref == "HEAD" else ref
    if is_full_id(ref):
        name = next((each for each in (default, *sorted(heads)) if heads.get(each) == ref and not _ours(each)), "")
    # The pull request's own commit approves nothing before it is merged.
    if name not in heads or _ours(name):
        raise InvalidOption(
            f"a release pull request is merged into a branch, and {ref or 'a detached HEAD'} is none, nor the newest "
            f"commit of one in {remote[1].url.shown}",
            action="release a branch by its name, such as --ref main",
        )
    return name


async def remote_for_pulls(run: OpenRun, checkout: Checkout) -> tuple[Path, Remote]:
    """The repository on this machine, and where its branches are. Raises InvalidOption without a remote."""
    name = run.request.version.git_remote or "origin"
    if checkout.repository is not None:
        credentials = run.git_credentials()
        remote = await remote_of(checkout.repository, name, credentials, ca_file=checkout.ca_file, push=True)
        if remote is not None:
            return checkout.repository, remote
    raise InvalidOption(
        f"a release pull request needs the repository's remote, and {name!r} is none",
        action="add one with `git remote add origin URL`",
    )


def plan_pull_request(
    request: ReleaseRequest, choice: Choice, forge: PlannedForge | None, checkout: Checkout, base: str
) -> PlannedPullRequest | None:
    """None where none is needed: there is nothing to release, or the merged one names the version."""
    if not base or choice.nothing or choice.approved or forge is None:
        return None
    files = (request.notes.changelog or CHANGELOG, *request.approval.version_files)
    return PlannedPullRequest(
        forge.place,
        base,
        release_title(forge.version),
        forge.version,
        tuple(posixpath.join(checkout.subdirectory, posixpath.normpath(file)) for file in files),
    )


def _ours(branch: str) -> bool:
    return branch.startswith(BRANCH)

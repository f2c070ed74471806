"""Release pull request: a version that is not approved yet is proposed on the forge, where merging it approves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import get_run_logger

from prefect_slipway.flows.notes.changelog import with_notes
from prefect_slipway.flows.planning.pull_request import BRANCH, remote_for_pulls
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.steps.forge import page_of, read_token
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.forge import ForgeOutcome
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.errors import BranchRefused, InvalidOption, SourceMissing
from prefect_slipway.infra.domain.release_commit import is_release_commit, release_message, with_version
from prefect_slipway.infra.source.branch_writer import RemoteBranch, remote_branch, write_branch
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import Remote
from prefect_slipway.infra.source.commits import Author, Commit


@step("open pull request")
async def propose_release(run: OpenRun, source: FetchedSource, plan: ReleasePlan) -> tuple[ReleasePlan, ForgeOutcome]:
    """The plan as it is now: nothing to release. Raises ForgeErrors, VaultErrors, SourceErrors, GitOpsErrors and
    InvalidOption."""
    from prefect_slipway.infra.forges.open import open_forge
    from prefect_slipway.infra.forges.pulls import PullRequest, propose

    wanted, choice = plan.pull_request, run.request.forge
    assert wanted is not None, "there is a version to propose"
    _, remote = await remote_for_pulls(run, source.checkout)
    base = wanted.base
    prefix = (run.request.version.tag_prefix or "").strip("-/").replace("/", "-")
    branch = "-".join(filter(None, (BRANCH, base, prefix)))
    if not await _push(run, source.checkout, plan, remote, base, branch):
        return _waiting(plan, f"{wanted.version} waits: {base} has moved on to another commit"), ForgeOutcome()
    text = plan.notes.markdown if plan.notes is not None else ""
    asked = PullRequest(branch, base, wanted.title, text, wanted.version)
    token = await read_token(run)
    async with open_forge(wanted.place, token, Path(choice.ca) if choice.ca else None) as opened:
        done = await propose(opened, asked)
    page = page_of(done)
    get_run_logger().info("pull request %r of %s: %s %s", wanted.title, wanted.place, done.did, page)
    return _waiting(plan, f"{wanted.version} waits for its pull request: {page}"), ForgeOutcome(page, done.did)


async def _push(run: OpenRun, checkout: Checkout, plan: ReleasePlan, remote: Remote, base: str, branch: str) -> bool:
    """Let the branch hold the change; False if `base` is no longer at the planned commit: the run of the newer one
    does it. Only what Slipway wrote is replaced."""
    wanted = plan.pull_request
    assert wanted is not None, "there is a version to propose"
    moved = False

    async def change(there: RemoteBranch) -> Commit | None:
        nonlocal moved
        moved = there.revision != checkout.revision
        if moved:
            return None
        old = await there.other(branch)
        if old is not None and not is_release_commit(await there.message(old)):
            raise BranchRefused(
                f"the newest commit of {branch} in {remote.url.shown} is not Slipway's",
                action="keep it on another branch, and delete this one",
            )
        texts = {path: (await _text(there, path)) for path in wanted.files}
        return Commit(_changed(texts, plan, wanted.version), release_message(wanted.version))

    async with remote_branch(remote, base, run.home / "work") as there:
        await write_branch(there, change, Author(), to=branch)
    return not moved


async def _text(branch: RemoteBranch, path: str) -> str:
    try:
        found = await branch.files(path)
    except SourceMissing:
        return ""  # a new file
    if path not in found:
        raise InvalidOption(f"{path} is a folder", action="name a file for the changelog, and with --version-file")
    if "\0" in found[path]:
        raise InvalidOption(f"{path} is not a text in UTF-8", action="convert it, or name another file")
    return found[path]


def _changed(texts: Mapping[str, str], plan: ReleasePlan, version: str) -> dict[str, str]:
    """The changelog, which is the first, with the notes, and the others with the version."""
    changelog, *others = texts
    date = f"{datetime.fromtimestamp(plan.source.committed_at or 0, UTC):%Y-%m-%d}"
    notes = plan.notes.markdown if plan.notes is not None else ""
    entry = with_notes(texts[changelog], version, date, notes)
    return {
        changelog: texts[changelog] if entry is None else entry,
        **{path: with_version(texts[path], version, path) for path in others},
    }


def _waiting(plan: ReleasePlan, why: str) -> ReleasePlan:
    images = tuple(replace(image, tags=(), labels={}, existing_digest=None, cache=None) for image in plan.images)
    return replace(plan, version=None, why=why, images=images, git_tag=None, forge=None, gates=(), sign=())

"""What is new in the version to release: the commits since the one before."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from prefect_slipway.flows.notes.asked import told, written
from prefect_slipway.flows.notes.changes import MAX_COMMITS
from prefect_slipway.flows.planning.lineage import revision_label
from prefect_slipway.flows.planning.source import FetchedSource, Images
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.values.notes import PlannedChangelog, ReleaseNotes
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.ledger import Released
from prefect_slipway.infra.domain.version import Version, parse_version
from prefect_slipway.infra.source.branch import ref_of
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.history import History


async def with_notes(
    run: OpenRun, source: FetchedSource, images: Images, released: Sequence[Released], plan: ReleasePlan
) -> ReleasePlan:
    """The plan with the notes of its version. A history that cannot be read is a warning: it fails no release.

    `released`: the versions so far. The changes come after the highest one below that is in the history of the source;
    those of a stable version after the highest stable one.
    """
    checkout, request = source.checkout, run.request
    version = plan.version or plan.last_version
    if version is None or request.notes.mode == "off" or checkout.repository is None or checkout.revision is None:
        return plan
    try:
        choice, credentials = request.version, run.git_credentials()
        history = await History.open(checkout, remote=choice.git_remote, credentials=credentials, paths=choice.paths)
        if plan.version is None:
            # Released already; beside its images, or on the forge, they may be missing.
            known = {str(each.version): each.revision for each in released}
            if known.get(version) not in {checkout.revision, await history.tip()}:
                return plan
        last = await _version_before(history, images, parse_version(version), released)
        if last is not None and last.revision is None:
            return plan
        series = await history.since(last.revision if last is not None else None, most=MAX_COMMITS)
    except SlipwayError as error:
        return replace(plan, warnings=(*plan.warnings, f"there are no release notes: {error.cause}"))
    span = (last.revision, checkout.revision) if last is not None and last.revision is not None else None
    previous = str(last.version) if last is not None else None
    changes = told(request.notes, series)
    text = await written(request.notes, changes, checkout, span, version=version, previous=previous)
    return replace(plan, notes=ReleaseNotes(version, previous, *text), changelog=await _changelog(run, checkout))


async def _changelog(run: OpenRun, checkout: Checkout) -> PlannedChangelog | None:
    if run.request.notes.changelog is None:
        return None
    path = posixpath.join(checkout.subdirectory, posixpath.normpath(run.request.notes.changelog))
    return PlannedChangelog(path, run.request.checkout.branch or await ref_of(checkout))


async def _version_before(
    history: History, images: Images, version: Version, released: Sequence[Released]
) -> Released | None:
    """The version that the changes come after; without a revision where its image does not tell it."""
    below = sorted(
        (
            each
            for each in released
            if each.version < version and not (each.version.prerelease and not version.prerelease)
        ),
        key=lambda each: each.version,
        reverse=True,
    )
    tagged = [each.revision for each in below if each.revision is not None]
    if tagged or not below:
        inside = await history.includes(tagged)
        return next((each for each in below if each.revision in inside), None)
    for each in below:
        revision = await revision_label(images, each.version)
        if revision is None or revision in await history.includes([revision]):
            return Released(each.version, revision)
    return None

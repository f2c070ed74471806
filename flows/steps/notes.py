"""Notes: what is new is told beside the image, in git's tag and in a changelog."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from prefect.artifacts import MarkdownArtifact

from prefect_slipway.flows.notes.changelog import with_notes
from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.report import report_key
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.values.notes import NOTES_ARTIFACT, NOTES_MEDIA, ReleaseNotes
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import VerifiedImage
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.changelog import changelog_commit
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.labels import OCI_VERSION
from prefect_slipway.infra.domain.ledger import NOTHING_TOLD, Announcement, FileEdit
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Attachment
from prefect_slipway.infra.registry.referrers import Referrers

logger = logging.getLogger(__name__)


async def attach_notes(
    run: OpenRun, registries: Registries, plan: ReleasePlan, images: Sequence[VerifiedImage]
) -> tuple[str, ...]:
    """Attach the notes to the public images; returns warnings, as no release fails for them."""
    attach = run.request.notes.attach
    if plan.notes is None or attach == "off":
        return ()
    public = [each for each in images if each.planned.public]
    attached = (_attach(registries, plan.notes, each, always=attach == "on") for each in public)
    return tuple(filter(None, await run_concurrently(*attached)))


async def _attach(registries: Registries, notes: ReleaseNotes, image: VerifiedImage, *, always: bool) -> str:
    """A warning, or "". An image that has notes of this version gets none again. `always`: also where the registry
    needs a tag for that."""
    reference = ImageReference.parse(image.planned.image)
    try:
        client = await registries.client(reference)
        referrers = Referrers(client, reference.repository, NOTES_ARTIFACT, media_type=NOTES_MEDIA)
        if not (always or await referrers.has_list(image.digest)):
            return ""
        there = await referrers.attached(image.digest)
        if not any(each.annotations.get(OCI_VERSION) == notes.version for each in there):
            content = f"{notes.markdown}\n".encode()
            await referrers.add(image.digest, [Attachment(NOTES_MEDIA, content, {OCI_VERSION: notes.version})])
    except SlipwayError as error:
        warning = f"the notes are not attached to {image.planned.reference}: {error.cause}"
        watcher().say(f"WARN: {warning}")
        logger.warning("%s", warning)
        return warning
    return ""


async def show_notes(plan: ReleasePlan) -> None:
    """Record the notes as an artifact of this run."""
    if plan.notes is not None:
        await MarkdownArtifact(
            markdown=f"# {markdown.text(plan.reference)}\n\n{plan.notes.markdown}\n",
            key=report_key("notes", plan),
            description=markdown.text(f"What is new in {plan.reference}"),
        ).acreate()


def announcement(plan: ReleasePlan) -> Announcement:
    """What git is told."""
    notes = plan.notes
    if notes is None or plan.git_tag is None:
        return NOTHING_TOLD
    edit = None
    if plan.changelog is not None:
        date = f"{datetime.now(UTC):%Y-%m-%d}"
        add = partial(with_notes, version=notes.version, date=date, notes=notes.markdown)
        edit = FileEdit(plan.changelog.ref, plan.changelog.path, add, changelog_commit(plan.git_tag))
    return Announcement(f"{plan.git_tag}\n\n{notes.text}", edit)

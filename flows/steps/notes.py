"""Notes: what is new is told beside the image, in git's tag and in a changelog."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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
from prefect_slipway.infra.domain.version import image_tag, parse_version
from prefect_slipway.infra.registry.referrers import Referrers

logger = logging.getLogger(__name__)


async def attach_notes(
    run: OpenRun, registries: Registries, plan: ReleasePlan, images: Sequence[VerifiedImage]
) -> tuple[str, ...]:
    """Attach the notes to the public images; returns warnings, as no release fails for them."""
    return await _attached(
        run, registries, plan, {each.planned.image: each.digest for each in images if each.planned.public}
    )


async def attach_missing_notes(run: OpenRun, registries: Registries, plan: ReleasePlan) -> tuple[str, ...]:
    """The same for the version that is released already: what failed then."""
    released = plan.public if plan.last_version is not None else ()
    return await _attached(run, registries, plan, {image.image: None for image in released})


async def _attached(
    run: OpenRun, registries: Registries, plan: ReleasePlan, images: Mapping[str, str | None]
) -> tuple[str, ...]:
    attach = run.request.notes.attach
    if plan.notes is None or attach == "off":
        return ()
    attached = (_attach(registries, plan.notes, *image, always=attach == "on") for image in images.items())
    return tuple(filter(None, await run_concurrently(*attached)))


async def _attach(registries: Registries, notes: ReleaseNotes, image: str, digest: str | None, *, always: bool) -> str:
    """A warning, or "". An image that has notes of this version gets none again. `digest`: None for that of the
    version's tag. `always`: also where the registry needs a tag for that."""
    tag = image_tag(parse_version(notes.version))
    reference = ImageReference.parse(image)
    try:
        client = await registries.client(reference)
        if digest is None:
            if (found := await client.head(reference.repository, tag)) is None:
                return ""
            digest = found.digest
        referrers = Referrers(client, reference.repository, NOTES_ARTIFACT, media_type=NOTES_MEDIA)
        if not (always or await referrers.has_list(digest)):
            return ""
        there = await referrers.attached(digest)
        if not any(each.annotations.get(OCI_VERSION) == notes.version for each in there):
            content = f"{notes.markdown}\n".encode()
            await referrers.add(digest, [Attachment(NOTES_MEDIA, content, {OCI_VERSION: notes.version})])
    except SlipwayError as error:
        warning = f"the notes are not attached to {reference.with_tag(tag)}: {error.cause}; run the same release again"
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

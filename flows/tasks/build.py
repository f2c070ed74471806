"""Build and push: BuildKit builds and pushes by digest, so that no public name points to what is not verified yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from flows.domain.plan import BuilderFacts, BuiltImage, ReleasePlan
from flows.domain.reference import ImageReference
from flows.recorder import BuildRecorder
from flows.request import ReleaseRequest
from flows.tasks.step import step
from flows.watch import watcher
from flows.workshop import workshop
from infra.buildkit import BuildKit, BuildRequest, ImagePush

# A progress artifact costs the server up to 27 ms, a log record 0.3 ms.
_PROGRESS_EVERY_S = 1.0
_LOG_EVERY_S = 0.25


@step("build and push")
async def build_and_push(plan: ReleasePlan, builder: BuilderFacts) -> BuiltImage:
    """Raises the BuildErrors, BuilderErrors, RegistryErrors and VaultErrors; a retry builds from the daemon's cache."""
    if plan.existing_digest is not None:
        get_run_logger().info("the image %s was pushed before: finishing it", plan.existing_digest)
        await _note(plan.existing_digest)
        return BuiltImage(plan.existing_digest, 0, 0)
    shop = workshop()
    image = ImageReference.parse(plan.image)
    shop.recorder = recorder = BuildRecorder()
    async with BuildKit(shop.builder) as buildkit, _live(recorder):
        outcome = await buildkit.build(
            build_request(shop.request, plan, builder, insecure=shop.insecure(image)),
            shop.credentials(),
            recorder,
        )
    await _note(outcome.digest)
    steps, cached = recorder.counts()
    return BuiltImage(outcome.digest, steps, cached, recorder.timeline())


async def _note(digest: str) -> None:
    """Let a rerun after a crash finish this image instead of building another."""
    shop = workshop()
    if shop.ledger is not None and shop.reservation is not None and shop.reservation.claim.digest != digest:
        shop.reservation = await shop.ledger.note_digest(shop.reservation, digest)


def build_request(request: ReleaseRequest, plan: ReleasePlan, builder: BuilderFacts, *, insecure: bool) -> BuildRequest:
    """What BuildKit is asked for."""
    image = ImageReference.parse(plan.image)
    return BuildRequest(
        context=Path(plan.source.path),
        dockerfile=Path(request.file),
        target=request.target or "",
        build_args=request.build_args,
        labels=plan.labels,
        annotations=plan.labels,
        platforms=tuple(request.platforms),
        no_cache=request.no_cache,
        network=builder.network,
        source_date_epoch=plan.source_date_epoch,
        outputs=(
            ImagePush(
                name=image.name,
                by_digest=True,
                insecure=insecure,
                rewrite_timestamp=plan.source_date_epoch is not None,
            ),
        ),
    )


@asynccontextmanager
async def _live(recorder: BuildRecorder) -> AsyncIterator[None]:
    """Show a build while it runs: its log in chunks, its progress once a second. The log is complete at the end."""
    logger = get_run_logger()
    progress = asyncio.create_task(_show_progress(recorder))
    log = asyncio.create_task(_show_log(recorder, logger))
    try:
        yield
    finally:
        for task in (progress, log):
            task.cancel()
        await asyncio.gather(progress, log, return_exceptions=True)
        recorder.finish()
        _say(recorder, logger)


async def _show_log(recorder: BuildRecorder, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
    while True:
        await asyncio.sleep(_LOG_EVERY_S)
        _say(recorder, logger)


def _say(recorder: BuildRecorder, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
    for chunk in recorder.take_chunks():
        logger.info("%s", chunk)
        watcher().say(chunk)


async def _show_progress(recorder: BuildRecorder) -> None:
    artifact: UUID | None = None
    try:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            if artifact is None:
                artifact = await acreate_progress_artifact(recorder.percent, description="Build")
            else:
                await aupdate_progress_artifact(artifact, progress=recorder.percent, description=recorder.current)
    finally:
        if artifact is not None:
            await aupdate_progress_artifact(artifact, progress=recorder.percent)

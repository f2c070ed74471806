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

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.recorder import BuildRecorder
from prefect_slipway.flows.reporting.telemetry import trace_build, traceparent
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.workshop import Workshop, workshop
from prefect_slipway.flows.steps.provision import reach_builder, watched
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.buildkit import BuildKit, BuildOutcome, BuildRequest, ImagePush
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.outside import plain
from prefect_slipway.infra.domain.plan import BuilderFacts, BuiltImage, ReleasePlan
from prefect_slipway.infra.domain.reference import ImageReference

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

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
    request = build_request(shop.request, plan, builder, insecure=shop.insecure(image))
    built = await run_build(shop, request, image, recorder)
    await _note(built.digest)
    return built


async def run_build(
    shop: Workshop, request: BuildRequest, image: ImageReference, recorder: BuildRecorder, *, name: str = ""
) -> BuiltImage:
    """Build on the run's builder, shown while it runs. `name`: told with each line where several run at once."""
    address = await reach_builder(shop)
    credentials = await build_credentials(shop, image)

    async def build() -> BuildOutcome:
        async with BuildKit(address) as buildkit, _live(recorder, name):
            return await buildkit.build(request, credentials, recorder, traceparent=traceparent())

    outcome = await watched(shop, address, build())
    steps, cached = recorder.counts()
    return BuiltImage(outcome.digest, steps, cached, recorder.timeline())


async def build_credentials(shop: Workshop, image: ImageReference) -> CredentialSource:
    """What BuildKit's requests for credentials are answered from: Vault, or in a cluster the Secret made from it."""
    if shop.kubernetes is None:
        return shop.credentials()
    if shop.published is None:
        shop.published = await shop.kubernetes.publish(
            shop.credentials(), sorted(shop.secret_paths()), registry=image.registry, repository=image.group
        )
    return shop.published


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
        git_modes=plan.source_date_epoch is not None and plan.source.revision is not None,
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
async def _live(recorder: BuildRecorder, name: str) -> AsyncIterator[None]:
    """Show a build while it runs: its log in chunks, its progress once a second. The log is complete at the end."""
    logger = get_run_logger()
    showing = [asyncio.create_task(_show_log(recorder, logger, name))]
    if not name:
        # Of several builds at once the number of images is the progress, and shown by whoever runs them.
        showing.append(asyncio.create_task(_show_progress(recorder)))
    try:
        yield
    finally:
        for task in showing:
            task.cancel()
        await asyncio.gather(*showing, return_exceptions=True)
        recorder.finish()
        _say(recorder, logger, name)
        trace_build(recorder.steps())


async def _show_log(recorder: BuildRecorder, logger: Logger, name: str) -> None:
    while True:
        await asyncio.sleep(_LOG_EVERY_S)
        _say(recorder, logger, name)


def _say(recorder: BuildRecorder, logger: Logger, name: str) -> None:
    for chunk in recorder.take_chunks():
        if name:
            chunk = "\n".join(f"{name} {line}" for line in chunk.split("\n"))
        logger.info("%s", plain(chunk))
        watcher().say(chunk)


async def _show_progress(recorder: BuildRecorder) -> None:
    artifact: UUID | None = None
    try:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            if artifact is None:
                artifact = await acreate_progress_artifact(recorder.percent, description="Build")
            else:
                await aupdate_progress_artifact(
                    artifact, progress=recorder.percent, description=markdown.text(recorder.current)
                )
    finally:
        if artifact is not None:
            await aupdate_progress_artifact(artifact, progress=recorder.percent)

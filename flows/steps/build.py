"""Build and push: BuildKit builds and pushes by digest, so that no public name points to what is not verified yet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import httpx
from prefect import get_client, get_run_logger
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from prefect_slipway.flows.bake.builds import build_request
from prefect_slipway.flows.build_options.attest import attestations
from prefect_slipway.flows.planning.provenance import builder_id, recorded
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.origin import origin_of_this_run
from prefect_slipway.flows.reporting.recorder import BuildRecorder
from prefect_slipway.flows.reporting.telemetry import trace_build, traceparent
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.flows.steps.provision import BuilderFacts
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan
from prefect_slipway.flows.values.result import BuiltImage
from prefect_slipway.infra.buildkit import BuildKit, BuildOutcome
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.outside import plain
from prefect_slipway.infra.domain.reference import ImageReference

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

# A progress artifact costs the server up to 27 ms, a log record 0.3 ms.
_PROGRESS_EVERY_S = 1.0
_LOG_EVERY_S = 0.25


class Builds:
    """The builds of a release on one builder: each begins when its bases are built, up to the allowed number at once.

    `built`: finished builds by target, in the order of completion; `failed`: the first target whose build failed.
    """

    def __init__(
        self, run: OpenRun, source: FetchedSource, plan: ReleasePlan, reserved: ReservedVersion | None
    ) -> None:
        bake = run.request.bake
        self._run = run
        self._source = source
        self._plan = plan
        self._reserved = reserved
        self._slots = asyncio.Semaphore(bake.parallel if bake is not None else 1)
        self._building: dict[str, asyncio.Task[BuiltImage]] = {}
        self._started = time.monotonic()
        self._recorded: dict[str, str] = {}
        self.recorders: dict[str, BuildRecorder] = {}
        self.built: dict[str, BuiltImage] = {}
        self.failed: str | None = None

    async def all(self, builder: BuilderFacts) -> tuple[BuiltImage, ...]:
        """Build every image after its bases, including those that an earlier run pushed; the first failure cancels the
        others and is raised as it is."""
        to_build = self._plan.to_build()
        self._recorded = recorded(self._plan, flow_run.id or "", await _trigger())
        self._started = time.monotonic()
        for image in self._plan.images:
            if image in to_build or image.public:
                self._building[image.target] = asyncio.create_task(
                    self._one(image, builder, found=image not in to_build)
                )
        async with _progress(self.recorders, len(self._building)):
            await run_concurrently(*self._building.values())
        return tuple(self.built[image.target] for image in self._plan.images if image.target in self.built)

    async def _one(self, image: PlannedImage, builder: BuilderFacts, *, found: bool) -> BuiltImage:
        bases = {base: _by_digest(await self._building[base]) for base in image.bases if not found}
        async with self._slots:
            start_s = self._since()
            named = image.target if len(self._building) > 1 else ""
            build = build_and_push.with_options(task_run_name=f"build {named}") if named else build_and_push
            try:
                built = await build(self, image, bases, builder, name=named)
            except Exception:
                self.failed = self.failed or image.target
                raise
        return self._done(replace(built, start_s=start_s, end_s=self._since()))

    async def run(
        self, image: PlannedImage, bases: Mapping[str, str], builder: BuilderFacts, *, name: str
    ) -> BuiltImage:
        """One build, shown while it runs. `name`: told with each line where several run at once."""
        run, registries = self._run, self._source.registries
        reference = ImageReference.parse(image.image)
        self.recorders[image.target] = recorder = BuildRecorder()
        target, options = self._source.targets.targets[image.target], run.request.build
        attested = attestations(
            target.attest,
            provenance=options.provenance,
            sbom=options.sbom,
            builder_id=builder_id(flow_run.id, flow_run.ui_url),
        )
        request = build_request(
            target,
            image.image,
            image.labels,
            self._source.places,
            bases,
            attested,
            epoch=self._plan.source_date_epoch,
            git_modes=self._plan.source_date_epoch is not None and self._plan.source.revision is not None,
            network=builder.network,
            no_cache=run.request.no_cache,
            insecure=registries.insecure(reference.registry),
            read_secret=run.read_secret,
            output=options.output,
            recorded=self._recorded,
        )
        address = await run.builder.address(registries.host)
        credentials = await run.builder.credentials(registries, reference)

        async def build() -> BuildOutcome:
            async with BuildKit(address) as buildkit, _live(recorder, name):
                return await buildkit.build(request, credentials, recorder, traceparent=traceparent())

        outcome = await run.builder.watched(address, build())
        steps, cached = recorder.counts()
        return BuiltImage(
            image,
            outcome.digest,
            steps,
            cached,
            recorder.timeline(),
            attests=tuple(attested.attests),
            required_attests=attested.required,
        )

    async def note(self, built: BuiltImage) -> None:
        """Once all images exist: a rerun after a crash finishes them instead of building others."""
        digests = {one.planned.image: one.digest for one in (*self.built.values(), built) if one.planned.public}
        if self._reserved is not None and len(digests) == len(self._plan.public):
            await self._reserved.note(digests)

    def _done(self, built: BuiltImage) -> BuiltImage:
        self.built[built.planned.target] = built
        return built

    def _since(self) -> float:
        return round(time.monotonic() - self._started, 3)


@step("build and push")
async def build_and_push(
    builds: Builds, image: PlannedImage, bases: Mapping[str, str], builder: BuilderFacts, *, name: str
) -> BuiltImage:
    """Build one image. `bases`: references by digest of its base targets. Raises the BuildErrors, BuilderErrors,
    RegistryErrors and VaultErrors; a retry builds from the daemon's cache."""
    if image.existing_digest is not None:
        get_run_logger().info("the image %s was pushed before: finishing the release", image.existing_digest)
        built = BuiltImage(image, image.existing_digest)
    else:
        built = await builds.run(image, bases, builder, name=name)
    await builds.note(built)
    return built


def _by_digest(built: BuiltImage) -> str:
    return f"{built.planned.image}@{built.digest}"


async def _trigger() -> str:
    """What started the run; "" while the server does not answer, which delays no build."""
    try:
        async with get_client() as client:
            return (await origin_of_this_run(client)).trigger
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("the provenance does not say what started the run (%s)", type(error).__name__)
        return ""


@asynccontextmanager
async def _live(recorder: BuildRecorder, name: str) -> AsyncIterator[None]:
    """Show a build while it runs: its log in chunks, complete at the end."""
    logger = get_run_logger()
    showing = asyncio.create_task(_show_log(recorder, logger, name))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
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


@asynccontextmanager
async def _progress(recorders: Mapping[str, BuildRecorder], count: int) -> AsyncIterator[None]:
    """Show how far so many builds have come, once a second."""
    showing = asyncio.create_task(_show_progress(recorders, count))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _show_progress(recorders: Mapping[str, BuildRecorder], count: int) -> None:
    artifact: UUID | None = None
    try:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            if artifact is None:
                artifact = await acreate_progress_artifact(_percent(recorders, count), description="Build")
            else:
                current = ", ".join(filter(None, (recorder.current for recorder in recorders.values())))
                await aupdate_progress_artifact(
                    artifact, progress=_percent(recorders, count), description=markdown.text(current)
                )
    finally:
        if artifact is not None:
            await aupdate_progress_artifact(artifact, progress=_percent(recorders, count))


def _percent(recorders: Mapping[str, BuildRecorder], count: int) -> float:
    return sum(recorder.percent for recorder in recorders.values()) / max(count, 1)

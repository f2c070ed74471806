"""Build and push: BuildKit builds and pushes by digest, so that no public name points to what is not verified yet. What
several nodes built of an image becomes one index."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import httpx
from prefect import get_client, get_run_logger
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from prefect_slipway.flows.bake.builds import build_request
from prefect_slipway.flows.build_options.attest import Attestations, attestations
from prefect_slipway.flows.build_options.beside import OPTION
from prefect_slipway.flows.planning.build_cache import cache_of
from prefect_slipway.flows.planning.provenance import builder_id, recorded, recorded_place
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.planning.who_builds import platforms_of
from prefect_slipway.flows.reporting.live import live_log, live_progress
from prefect_slipway.flows.reporting.origin import origin_of_this_run
from prefect_slipway.flows.reporting.recorder import BuildRecorder
from prefect_slipway.flows.reporting.telemetry import traceparent
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.build_cache import cache_import, existing_caches
from prefect_slipway.flows.run.builder import BuilderNode
from prefect_slipway.flows.run.nodes import look_at_builder
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.outputs import OutputsBeside
from prefect_slipway.flows.run.parts import build_parts
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.builder import BuilderFacts
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan
from prefect_slipway.flows.values.result import BuiltImage, CacheUse, VerifiedImage
from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.build.outputs import annotations_without
from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import BuilderConflict, BuilderUnreachable, InvalidOption
from prefect_slipway.infra.domain.nodes import Share
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.combined import combine
from prefect_slipway.infra.source.branch import ref_of

Key = tuple[str, tuple[str, ...]]
"""A target, and the platforms that one node builds of it."""


class CacheExport(NamedTuple):
    """The registry cache of a build, to be written to `reference` by the node that built it, at its `address`."""

    reference: str
    request: BuildRequest
    node: BuilderNode
    address: BuilderAddress


class Builds:
    """The builds of a release on a builder: each begins when its bases are built, up to the allowed number at once.

    `outputs`: what is written beside the push; `built`: finished builds by target, in the order of completion;
    `failed`: the first target whose build failed. By target and the platforms of one node: `recorders`; `caches`, the
    registry caches that were used; `exports`, those to export. `slots`: as many builds may run at once.
    """

    def __init__(
        self, run: OpenRun, source: FetchedSource, plan: ReleasePlan, reserved: ReservedVersion | None
    ) -> None:
        bake = run.request.bake
        self._run = run
        self._source = source
        self._plan = plan
        self._reserved = reserved
        self.slots = asyncio.Semaphore(bake.parallel if bake is not None else 1)
        self._building: dict[str, asyncio.Task[BuiltImage]] = {}
        self._started = time.monotonic()
        self._recorded: dict[str, str] = {}
        # Targets that met a record of the builder's cache which is broken and stays.
        self._uncached: set[str] = set()
        self.outputs = OutputsBeside(run.request.build.outputs, source.places)
        self.recorders: dict[Key, BuildRecorder] = {}
        self.built: dict[str, BuiltImage] = {}
        self.failed: str | None = None
        self.caches: dict[Key, CacheUse] = {}
        self.exports: dict[Key, CacheExport] = {}

    async def all(self, builder: BuilderFacts) -> tuple[BuiltImage, ...]:
        """Build every image after its bases, including those that an earlier run pushed; the first failure cancels the
        others and is raised as it is."""
        to_build = self._plan.to_build()
        self._recorded = recorded(self._plan, flow_run.id or "", await _trigger(), await self._ref())
        self._started = time.monotonic()
        for image in self._plan.images:
            if image in to_build or image.public:
                self._building[image.target] = asyncio.create_task(
                    self._one(image, builder, found=image not in to_build)
                )
        async with live_progress(self.recorders, len(self._building)):
            await run_concurrently(*self._building.values())
        return tuple(self.built[image.target] for image in self._plan.images if image.target in self.built)

    async def _ref(self) -> str:
        return await ref_of(self._source.checkout)

    async def _one(self, image: PlannedImage, builder: BuilderFacts, *, found: bool) -> BuiltImage:
        bases = {base: _by_digest(await self._building[base]) for base in image.bases if not found}
        async with self.slots:
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
        target, options = self._source.targets.targets[image.target], run.request.build
        wanted = platforms_of(target)
        attested = attestations(
            target.attest,
            provenance=options.provenance,
            sbom=options.sbom,
            builder_id=builder_id(flow_run.id, flow_run.ui_url, of_this_run=run.builder.is_of_this_run),
        )
        builder, shares = await self._shared(wanted, builder)
        self._forget(image.target)
        credentials = await run.builder.credentials(registries, reference)

        async def build(share: Share) -> str:
            recorder = self.recorders[image.target, share.platforms] = BuildRecorder()
            part = ", ".join(share.platforms) if share.platforms != wanted else ""
            shown_as, tell = f"{name} {part}".strip(), watcher().build

            def on_event(event: BuildEvent) -> None:
                recorder(event)
                tell(shown_as, event)

            node = await run.builder.node(registries.host, share.node.name)
            request = self._request(image, bases, attested, node, share, wanted)
            request = await self._with_cache(request, image, share, wanted)
            if builder.is_several or share.emulated:
                news = f"{name} {share.shown()}".strip()
                get_run_logger().info("%s", news)
                watcher().say(news)

            async def at(address: BuilderAddress) -> BuildOutcome:
                async with BuildKit(address) as buildkit, live_log(recorder, shown_as):
                    try:
                        outcome = await buildkit.build(request, credentials, on_event, traceparent=traceparent())
                    except BuilderConflict as conflict:
                        if not conflict.pruned:
                            self._uncached.add(image.target)
                        raise
                if image.cache is not None and image.cache.export is not None:
                    reference = cache_of(image.cache.export, share.platforms if share.platforms != wanted else ())
                    self.exports[image.target, share.platforms] = CacheExport(reference, request, node, address)
                return outcome

            return (await node.watched(at)).digest

        # What is lost in a cluster is made again.
        emulate = run.request.builder.emulate and not run.builder.is_made
        parts = await build_parts(shares, builder.nodes, build, emulate=emulate)
        digest = parts[0].digest
        if len(parts) > 1:
            client = await registries.client(reference)
            digest = await combine(client, reference.repository, [part.digest for part in parts], wanted)
        recorders = [recorder for (target, _), recorder in self.recorders.items() if target == image.target]
        counts = [recorder.counts() for recorder in recorders]
        return BuiltImage(
            image,
            digest,
            steps=sum(steps for steps, _ in counts),
            cached_steps=sum(cached for _, cached in counts),
            timeline=tuple(step for recorder in recorders for step in recorder.timeline()),
            nodes=tuple(part.share.shown() for part in parts) if builder.is_several else (),
            attests=tuple(attested.attests),
            required_attests=attested.required,
        )

    def _forget(self, target: str) -> None:
        """What an earlier try has noted."""
        for kept in (self.recorders, self.caches, self.exports):
            for key in [key for key in kept if key[0] == target]:
                del kept[key]

    async def _shared(self, wanted: Sequence[str], builder: BuilderFacts) -> tuple[BuilderFacts, tuple[Share, ...]]:
        """Who builds what; a node that was missing and is needed is looked for again. Raises PlatformUnavailable and
        BuilderErrors."""
        emulate = self._run.request.builder.emulate
        try:
            return builder, builder.shares(wanted, emulate=emulate)
        except BuilderUnreachable:
            again = await look_at_builder(self._run, self._source.registries.host)
            return again, again.shares(wanted, emulate=emulate)

    def _request(
        self,
        image: PlannedImage,
        bases: Mapping[str, str],
        attested: Attestations,
        node: BuilderNode,
        share: Share,
        wanted: Sequence[str],
    ) -> BuildRequest:
        """What `node` builds: its share of the platforms that are `wanted`. Raises InvalidOption."""
        run = self._run
        others = set(wanted).difference(share.platforms)
        if others and run.request.build.outputs:
            raise InvalidOption(
                f"{OPTION}: the image is built by several nodes, none of which has all of it",
                action="write it from the registry (skopeo copy --all), or build it on one node",
            )
        request = build_request(
            self._source.targets.targets[image.target],
            image.image,
            image.labels,
            self._source.places,
            bases,
            attested,
            epoch=self._plan.source_date_epoch,
            git_modes=self._plan.source_date_epoch is not None and self._plan.source.revision is not None,
            # That of a single image is its target's.
            network=(run.request.build.network if run.request.bake is not None else None) or node.network,
            no_cache=run.request.build.no_cache or image.target in self._uncached,
            insecure=self._source.registries.insecure(ImageReference.parse(image.image).registry),
            read_secret=run.read_secret,
            output=run.request.build.output,
            recorded={**self._recorded, **recorded_place(self._source, image.target)},
            source_policy=run.request.build.policy(),
            beside=self.outputs.requested(image.reference, self._same_image),
        )
        return request._replace(
            platforms=share.platforms,
            as_index=bool(others),
            annotations=annotations_without(request.annotations, others),
        )

    async def _with_cache(
        self, request: BuildRequest, image: PlannedImage, share: Share, wanted: Sequence[str]
    ) -> BuildRequest:
        """The request with the caches that exist, of a node that builds a part those of the part first."""
        if image.cache is None:
            return request
        parts = [share.platforms, ()] if share.platforms != wanted else [()]
        known = [cache_of(reference, part) for reference in image.cache.imports for part in parts]
        registries = self._source.registries
        found = () if request.no_cache else await existing_caches(registries, known)
        self.caches[image.target, share.platforms] = CacheUse(image.target, found)
        imports = tuple(cache_import(registries, each) for each in found)
        return request._replace(cache_imports=(*request.cache_imports, *imports))

    @property
    def _same_image(self) -> dict[str, str]:
        """Attributes of an archive's exporter, for the same bytes as the push has."""
        times = {"rewrite-timestamp": "true"} if self._plan.source_date_epoch is not None else {}
        return times | self._run.request.build.output

    def keep_outputs(self, images: Sequence[VerifiedImage]) -> None:
        """Put the outputs beside the push in place. Raises OutputError, DigestMismatch."""
        for image in images:
            if image.planned.existing_digest is None:
                self.outputs.keep(image)

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

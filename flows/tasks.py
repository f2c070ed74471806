"""The single steps of a release, for your own flows: each opens what it needs and closes it again.

Options are a request's fields, such as `image`, `credentials` and `builder`. Pass a saved block by its name
(`block:NAME`) or as an object. Steps are retried if a retry can help, as in a release.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from prefect.blocks.core import Block
from prefect.runtime import flow_run

from prefect_slipway.flows.deploy import deploy
from prefect_slipway.flows.planning.decide import plan_release
from prefect_slipway.flows.planning.source import FetchedSource, look_into
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.rollout import DeployRequest
from prefect_slipway.flows.rollouts.values import DeployResult
from prefect_slipway.flows.run.builder import RunBuilder
from prefect_slipway.flows.run.nodes import look_at_builder
from prefect_slipway.flows.run.open_run import OpenRun, open_run
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.steps.build import Builds
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.steps.tag import write_tag
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan
from prefect_slipway.flows.values.result import BuiltImage
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.labels import image_labels
from prefect_slipway.infra.domain.reference import ImageReference


@step("next version")
async def next_version(source: str | Block = ".", **options: Any) -> ReleasePlan:
    """Plan a release with these options: `.version` (None if there is nothing to release), `.why`, `.images`.
    Reserves nothing.

    Raises InvalidOption, SourceErrors, RegistryErrors, VaultErrors, like the plan of a release.
    """
    async with open_run(_request(source, options)) as run, await open_source(run) as checkout:
        plan, _ = await plan_release(run, look_into(run, checkout), claimant=None)
        return plan


@step("build image")
async def build_image(source: str | Block = ".", *, on: RunBuilder | None = None, **options: Any) -> BuiltImage:
    """Build one image and push it by digest, without a tag. `.planned.image` and `.digest` name it.

    `on`: a builder opened by `builder`; None uses the options' builder. `version`: for the label. Raises
    BuildErrors, BuilderErrors, RegistryErrors, SourceErrors, VaultErrors, InvalidOption.
    """
    request = _request(source, options)
    if request.bake is not None:
        raise InvalidOption("several images need a release", action="call `release` with `bake`")
    async with open_run(request, run=_run_id()) as run, await open_source(run) as checkout:
        if on is not None:
            run.builder = on
        found = look_into(run, checkout)
        plan = _plan(run, found)
        try:
            builder = await look_at_builder(run, found.registries.host)
            return await Builds(run, found, plan, None).run(plan.images[0], {}, builder, name="")
        finally:
            if on is None:
                await run.builder.close()


@step("tag image")
async def tag_image(reference: str, tags: Sequence[str], *, move: bool = False, **options: Any) -> list[str]:
    """Tag an image given by its digest (IMAGE@sha256:…); returns the references.

    `move`: allow tags to move from another digest. Raises VersionTaken for one that must not move, RegistryErrors.
    """
    image = ImageReference.parse(reference)
    if image.digest is None:
        raise InvalidOption(f"{reference} has no digest", action="use IMAGE@sha256:…, as build_image returns it")
    async with open_run(_request(".", {"image": image.name, **options})) as run:
        registry = await run.registries(image.registry).client(image)
        for tag in tags:
            await write_tag(registry, ImageReference.parse(f"{image.name}:{tag}"), image.digest, move=move)
    return [f"{image.name}:{tag}" for tag in tags]


async def deploy_image(reference: str, workload: str, **options: Any) -> DeployResult:
    """Roll out an image by its digest and watch it: the flow `deploy` as a subflow. `options`: a DeployRequest's
    fields. Raises RolloutErrors, ClusterErrors, RegistryErrors."""
    request = DeployRequest.read({"reference": reference, "workload": workload, **options})
    result: DeployResult = await deploy(request)
    return result


@asynccontextmanager
async def builder(**options: Any) -> AsyncIterator[RunBuilder]:
    """Open a builder for `build_image(on=…)`, existing or created in a cluster; a created one is removed afterwards.

    Raises BuilderErrors, ClusterErrors, StackDown, InvalidOption.
    """
    async with open_run(_request(".", options), run=_run_id()) as run:
        try:
            await look_at_builder(run, run.image("any").registry)
            yield run.builder
        finally:
            await run.builder.close()


def _request(source: str | Block, options: dict[str, Any]) -> ReleaseRequest:
    """The request for these options. Raises InvalidOption."""
    given = {"source": source, **options}
    request = ReleaseRequest.read({name: value for name, value in given.items() if not isinstance(value, Block)})
    for value in given.values():
        if isinstance(value, Block):
            request = request.changed(value.request_fields())  # type: ignore[attr-defined]
    return request


def _plan(run: OpenRun, source: FetchedSource) -> ReleasePlan:
    """An image without a version's tag."""
    facts, (target,) = source.facts, source.targets.targets.values()
    image = source.images[target.name]
    epoch = (facts.committed_at or 0) if run.request.build.reproducible else None
    created = datetime.fromtimestamp(epoch, UTC) if epoch is not None else datetime.now(UTC)
    title = image.repository.rsplit("/", 1)[-1]
    labels = image_labels(title, run.request.version.exact, created, revision=facts.revision, url=facts.url)
    planned = PlannedImage(target.name, image.name, labels={**labels, **target.labels})
    return ReleasePlan(facts, run.request.version.exact, "", (planned,), source_date_epoch=epoch)


def _run_id() -> str:
    return str(flow_run.id or uuid4())

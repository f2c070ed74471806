"""The steps of a set's release that a single image's has not, or has otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from prefect import get_client
from prefect.artifacts import MarkdownArtifact
from prefect.runtime import flow_run

from prefect_slipway.flows.bake.builds import build_request
from prefect_slipway.flows.bake.targets import Target, TargetSet
from prefect_slipway.flows.planning.image_set import MadeImage, SetImage, SetPlan
from prefect_slipway.flows.planning.set_plan import name_images, places_of, plan_set, read_set
from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.dag import columns
from prefect_slipway.flows.reporting.history import remember
from prefect_slipway.flows.reporting.links import commit_link
from prefect_slipway.flows.reporting.origin import origin_of_this_run
from prefect_slipway.flows.reporting.recorder import BuildRecorder
from prefect_slipway.flows.reporting.set_report import SetReport, plan_as_markdown
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.request.image_set import SetRequest
from prefect_slipway.flows.run.flow_run import has_report
from prefect_slipway.flows.run.workshop import workshop
from prefect_slipway.flows.steps.build import run_build
from prefect_slipway.flows.steps.record import past_release, show_links
from prefect_slipway.flows.steps.step import step, together
from prefect_slipway.flows.steps.tag import Tagged, is_tagged, move_tags, publish, write_version
from prefect_slipway.flows.steps.verify import verified
from prefect_slipway.flows.steps.version import named_before
from prefect_slipway.infra.domain.plan import BuilderFacts, BuiltImage, VerifiedImage
from prefect_slipway.infra.domain.reference import ImageReference


@step("read the set")
async def read_targets(request: SetRequest) -> tuple[TargetSet, dict[str, str]]:
    """The targets, and every target's image. Raises InvalidOption."""
    shop = workshop()
    assert shop.checkout is not None, "the source is fetched before its files are read"
    targets = read_set(request, shop.checkout)
    images = name_images(request, shop, targets, shop.checkout.name)
    for warning in targets.warnings:
        watcher().say(f"WARN: {warning}")
    return targets, {name: image.name for name, image in images.items()}


@step("plan version")
async def plan_set_version(request: SetRequest, targets: TargetSet, images: Mapping[str, str]) -> SetPlan:
    """One version for all, reserved. Raises as `prefect_slipway.flows.steps.version.plan_version`."""
    shop = workshop()
    assert shop.checkout is not None, "the source is fetched before its version is planned"
    named = {name: ImageReference.parse(image) for name, image in images.items()}
    plan = await plan_set(
        request, shop, shop.checkout, targets, named, run=str(flow_run.id), reserve=True, earlier=named_before()
    )
    if plan.to_build():
        await shop.check_builder()
    return plan


@step("check rights")
async def check_rights(plan: SetPlan) -> None:
    """See that every image may be pushed: a missing right ends the builds as they begin, not after the longest.

    Raises what the registry and Vault raise.
    """
    shop = workshop()
    images = {ImageReference.parse(image.plan.image) for image in plan.to_build()}
    await together(*[(await shop.registry(image)).check_push(image.repository) for image in images])


@step("build")
async def build_image(
    request: SetRequest, target: Target, image: SetImage, bases: Mapping[str, str], builder: BuilderFacts
) -> tuple[BuiltImage, VerifiedImage]:
    """Build one image, push it by digest and verify it. `bases`: references by digest of the targets it is based on.

    Raises as `prefect_slipway.flows.steps.build.build_and_push` and `prefect_slipway.flows.steps.verify.verify`.
    """
    shop = workshop()
    assert shop.checkout is not None, "the source is there until the run's end"
    reference = ImageReference.parse(image.plan.image)
    wanted = build_request(
        target,
        image.plan,
        places_of(request, shop.checkout),
        bases,
        network=builder.network,
        no_cache=request.no_cache,
        insecure=shop.insecure(reference),
    )
    built = await run_build(shop, wanted, reference, BuildRecorder(), name=target.name)
    # Not a task of its own: with many images each of these would cost more than it shows.
    watcher().say(f"> verify {target.name}")
    return built, await verified(image.plan, built.digest)


@step("check tags")
async def check_tags(plan: SetPlan, made: Sequence[MadeImage]) -> None:
    """See that every tag is free before the first is written, and remember the images for a rerun after a crash.

    Raises VersionTaken, and what registry and git raise.
    """
    shop = workshop()
    public = [one for one in made if one.image.public]
    await together(*(_check_tags(one) for one in public))
    if shop.ledger is not None and shop.reservation is not None:
        noted = " ".join(f"{one.image.plan.image}@{one.built.digest}" for one in public)
        shop.reservation = await shop.ledger.note_digest(shop.reservation, noted)


async def _check_tags(one: MadeImage) -> None:
    image = ImageReference.parse(one.image.plan.image)
    registry = await workshop().registry(image)
    for tag in one.image.plan.tags:
        await is_tagged(registry, image.with_tag(tag), one.built.digest)


@step("tag")
async def tag_all(plan: SetPlan, made: Sequence[MadeImage]) -> dict[str, Tagged]:
    """The tags, by target: the versions' first, a base before what is based on it, then git's, and what moves at last.

    Raises VersionTaken, TagImmutable, and what registry and git raise.
    """
    shop = workshop()
    public = {one.image.target: one for one in made if one.image.public}
    for names in columns({one.image.target: one.image.bases for one in made}):
        level = [public[name] for name in names if name in public]
        await together(*(write_version(shop, one.image.plan, one.built.digest) for one in level))
    await publish(shop)
    tagged = await together(*(move_tags(shop, one.image.plan) for one in public.values()))
    return dict(zip(public, tagged, strict=True))


async def name_set_run(plan: SetPlan) -> None:
    """Show the set and its version where people look first."""
    if flow_run.id is None:
        return
    tags = {*(flow_run.tags or []), *(f"image:{image.plan.image.rsplit('/', 1)[-1]}" for image in plan.public)}
    if plan.version:
        tags.add(f"version:{plan.version}")
    async with get_client() as client:
        name = f"{plan.source.name} {plan.version or 'unchanged'}"
        await client.update_flow_run(flow_run.id, name=name, tags=sorted(tags))


async def show_set_plan(plan: SetPlan) -> None:
    """The plan as an artifact, before any of it is done."""
    await MarkdownArtifact(
        markdown=plan_as_markdown(plan),
        key=_key("plan", plan),
        description=markdown.text(f"Plan of {plan.source.name}"),
    ).acreate()


@step("record")
async def record_set(report: SetReport) -> None:
    """One report for the set; links, and a row in each image's history."""
    watcher().show(report)
    plan, result = report.plan, report.result
    async with get_client() as client:
        origin = await origin_of_this_run(client)
        await MarkdownArtifact(
            markdown=report.as_markdown(), key=report.key, description=markdown.text(report.title)
        ).acreate(client)
        has_report()
        commit = commit_link(plan.source)
        await show_links(client, [*([commit] if commit else []), *origin.links])
        await together(*(remember(client, image.image, past_release(image, origin)) for image in result.images))


def _key(kind: str, plan: SetPlan) -> str:
    """Of a set's artifact: two sources may have one name, so the images tell sets apart."""
    images = " ".join(sorted(image.plan.image for image in plan.public))
    return key_of(kind, f"set {plan.source.name} {hashlib.sha256(images.encode()).hexdigest()[:12]}")

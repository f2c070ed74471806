"""Tag: give the verified images their public names. First the version's tags, never over another image's; then the git
tag; moving tags come last, because the release does not depend on them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.flows.steps.notes import announcement
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.steps.verify import common_predicates, kinds
from prefect_slipway.flows.values.order import by_level
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan
from prefect_slipway.flows.values.result import Tagged, VerifiedImage
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import (
    RegistryError,
    RegistryForbidden,
    SlipwayError,
    TagImmutable,
    VersionTaken,
)
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import Version, image_tag, latest, moving_tags, parse_version, version_of_tag
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.images import platform_images

logger = logging.getLogger(__name__)


async def make_public(
    registries: Registries, plan: ReleasePlan, images: Sequence[VerifiedImage], reserved: ReservedVersion | None
) -> tuple[Tagged, ...]:
    """Tag the images. If that fails after a version tag may have been written, the reservation stays, so that the same
    command finishes the release. Raises as `tag`."""
    try:
        return await tag(registries, plan, images, reserved)
    except BaseException as error:
        # An interrupted write may still arrive.
        unknown = not isinstance(error, SlipwayError) or error.retryable
        if reserved is not None and (unknown or await _half_public(registries, images)):
            await _leave(reserved)
        raise


@step("tag")
async def tag(
    registries: Registries, plan: ReleasePlan, images: Sequence[VerifiedImage], reserved: ReservedVersion | None
) -> tuple[Tagged, ...]:
    """Write the tags. Raises VersionTaken, TagImmutable (only for a version tag), RegistryErrors and SourceErrors."""
    public = {one.planned.target: one for one in images if one.planned.public}
    if len(public) > 1:
        # All are checked before the first is written.
        await run_concurrently(*(_look(registries, one) for one in public.values()))
    for names in by_level(plan):
        wanted = [public[name] for name in names if name in public]
        written = await run_concurrently(*(_write_version(registries, one) for one in wanted))
        public |= {one.planned.target: one for one in written}
    untold = await reserved.publish(announcement(plan)) if reserved is not None else ""
    first, *others = await run_concurrently(*(_move_tags(registries, plan, one) for one in public.values()))
    return (replace(first, warnings=(*filter(None, (untold,)), *first.warnings)), *others)


async def write_tag(registry: RegistryClient, image: ImageReference, digest: str, *, move: bool = False) -> None:
    """Point the tag of `image` to this digest of its repository, if it does not yet.

    `move`: allow it to move from another digest. Raises VersionTaken if it must not move, RegistryErrors.
    """
    if not await _is_tagged(registry, image, digest, move=move):
        manifest = await registry.manifest(image.repository, digest)
        named = await registry.put_tag(image.repository, str(image.tag), manifest)
        if named != digest:
            raise VersionTaken(f"another release wrote {image.name}:{image.tag} at the same time ({named})")


async def _is_tagged(registry: RegistryClient, image: ImageReference, digest: str, *, move: bool = False) -> bool:
    """Whether the tag already points to the digest; raises VersionTaken if it points to another and must not `move`."""
    there = await registry.head(image.repository, str(image.tag), expected=digest)
    if there is None or there.digest == digest:
        return there is not None
    if not move:
        raise VersionTaken(f"{image.name}:{image.tag} exists with a different digest ({there.digest})")
    return False


async def _write_version(registries: Registries, image: VerifiedImage) -> VerifiedImage:
    """The image that has the tag afterwards: this one, or an equal one that had it before."""
    reference = _reference(image.planned)
    registry = await registries.client(reference)
    try:
        await write_tag(registry, reference, image.digest)
    except VersionTaken as taken:
        return await _the_same(registry, reference, image, taken)
    return image


async def _look(registries: Registries, image: VerifiedImage) -> None:
    reference = _reference(image.planned)
    registry = await registries.client(reference)
    try:
        await _is_tagged(registry, reference, image.digest)
    except VersionTaken as taken:
        await _the_same(registry, reference, image, taken)


async def _the_same(
    registry: RegistryClient, reference: ImageReference, image: VerifiedImage, taken: VersionTaken
) -> VerifiedImage:
    """The tagged image, if it is this one for each platform. Provenance says when something was built, so the digest of
    an index differs from build to build, those of the images in it do not (`--reproducible`).

    Raises `taken` for any other image, and for one with fewer attestations.
    """
    try:
        manifest = await registry.manifest(reference.repository, str(reference.tag))
        images = await platform_images(registry, reference.repository, manifest)
    except RegistryError as error:
        if error.retryable:
            raise
        raise taken from error  # it may be anything, and no image at all
    if {each.platform: each.manifest.digest for each in images} != image.platforms:
        raise taken
    if not kinds(image.attestations) <= kinds(common_predicates(images)):
        raise taken
    return replace(image, built=replace(image.built, digest=manifest.digest))


async def _move_tags(registries: Registries, plan: ReleasePlan, image: VerifiedImage) -> Tagged:
    """All tags of the version: its own, which exists, and the moving tags that the registry lets move.

    Checks again afterwards: a higher version may have been tagged at the same time, and the last writer must notice
    it.
    """
    assert plan.version is not None, "there is something to release"
    reference, version = _reference(image.planned), parse_version(plan.version)
    repository, own = reference.repository, image_tag(version)
    if not plan.moving_tags:
        return Tagged(image, (own,))
    registry = await registries.client(reference)
    moved: list[str] = []
    warnings: list[str] = []

    async def point(name: str, to: Version) -> bool:
        try:
            await _point(registry, repository, name, to)
        except (TagImmutable, RegistryForbidden) as error:
            warnings.append(f"{reference.name}:{name} was not moved to {to}: {error.cause}")
            watcher().say(f"WARN: {warnings[-1]}")
            logger.warning("%s", warnings[-1])
            return False
        return True

    for name in moving_tags(version, await _versions(registry, repository), plan.channel):
        if name not in image.planned.tags_that_stay and await point(name, version):
            moved.append(name)
    for name in list(moved):
        scope = [v for v in await _versions(registry, repository) if name in moving_tags(v, [v], plan.channel)]
        highest = latest(scope)
        if highest is not None and highest > version and await point(name, highest):
            moved.remove(name)
    return Tagged(image, (own, *moved), tuple(warnings))


async def _leave(reserved: ReservedVersion) -> None:
    try:
        await reserved.leave()
    except SlipwayError as trouble:
        logger.warning("the reservation of %s stays until it expires: %s", reserved.version, trouble)


async def _half_public(registries: Registries, images: Sequence[VerifiedImage]) -> bool:
    for image in images:
        if not image.planned.public:
            continue
        reference = _reference(image.planned)
        try:
            registry = await registries.client(reference)
            there = await registry.head(reference.repository, str(reference.tag), expected=image.digest)
        except SlipwayError:
            return True  # nobody knows
        if there is not None and there.digest == image.digest:
            return True
    return False


def _reference(image: PlannedImage) -> ImageReference:
    return ImageReference.parse(image.reference)


async def _point(registry: RegistryClient, repository: str, name: str, version: Version) -> None:
    manifest = await registry.manifest(repository, image_tag(version))
    there = await registry.head(repository, name)
    if there is None or there.digest != manifest.digest:
        await registry.put_tag(repository, name, manifest)


async def _versions(registry: RegistryClient, repository: str) -> list[Version]:
    found = (version_of_tag(name) for name in await registry.tags(repository))
    return [version for version in found if version is not None]

"""Tag: give the verified image its public names. The version's tag first, never over another image's; then git's tag;
the tags that move come last, as the release does not depend on them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.workshop import Workshop, workshop
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import RegistryForbidden, SlipwayError, TagImmutable, VersionTaken
from prefect_slipway.infra.domain.plan import ReleasePlan, VerifiedImage
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import Version, image_tag, latest, moving_tags, parse_version, version_of_tag
from prefect_slipway.infra.registry import RegistryClient

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tags that were written, and what the registry would not do."""

    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@step("tag")
async def tag(plan: ReleasePlan, image: VerifiedImage) -> Tagged:
    """Raises VersionTaken, TagImmutable (of the version's tag alone), and what registry and git raise."""
    shop = workshop()
    await write_version(shop, plan, image.digest)
    await publish(shop)
    return await move_tags(shop, plan)


async def write_version(shop: Workshop, plan: ReleasePlan, digest: str) -> None:
    """The version's tag. Raises VersionTaken and the RegistryErrors."""
    reference = ImageReference.parse(plan.reference)
    assert reference.tag is not None, "a version is tagged"
    registry = await shop.registry(reference)
    if not await is_tagged(registry, reference, digest):
        manifest = await registry.manifest(reference.repository, digest)
        named = await registry.put_tag(reference.repository, reference.tag, manifest)
        if named != digest:
            raise VersionTaken(f"another release wrote {plan.reference} in the same moment ({named})")


async def publish(shop: Workshop) -> None:
    """The version itself is public now: git's tag."""
    if shop.ledger is not None and shop.reservation is not None:
        await shop.ledger.publish(shop.reservation)


async def is_tagged(registry: RegistryClient, image: ImageReference, digest: str) -> bool:
    """Whether the tag names the digest already; raises VersionTaken if it names another."""
    assert image.tag is not None, "a tag is looked at"
    there = await registry.head(image.repository, image.tag, expected=digest)
    if there is not None and there.digest != digest:
        raise VersionTaken(f"{image.name}:{image.tag} exists with another digest ({there.digest})")
    return there is not None


async def move_tags(shop: Workshop, plan: ReleasePlan) -> Tagged:
    """All tags of the version: its own, which is there, and those that move with it, as far as the registry lets them.

    Looks again afterwards: a higher version may have been tagged in the same moment, and whoever writes last has to see
    it.
    """
    assert plan.version is not None, "there is something to release"
    reference, version = ImageReference.parse(plan.reference), parse_version(plan.version)
    repository, own = reference.repository, image_tag(version)
    if not plan.moving_tags:
        return Tagged((own,))
    registry = await shop.registry(reference)
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

    for name in moving_tags(version, await _stable_versions(registry, repository)):
        if name not in plan.tags_that_stay and await point(name, version):
            moved.append(name)
    for name in list(moved):
        scope = [v for v in await _stable_versions(registry, repository) if name in moving_tags(v, [v])]
        highest = latest(scope)
        if highest is not None and highest > version and await point(name, highest):
            moved.remove(name)
    return Tagged((own, *moved), tuple(warnings))


@asynccontextmanager
async def becoming_public(*images: tuple[ReleasePlan, str]) -> AsyncIterator[None]:
    """Within: images (their plans and digests) get their tags. If that fails, and one of them may have its version's
    tag, the reservation stays for the run that finishes it, which the same command starts.
    """
    try:
        yield
    except BaseException as error:
        await _leave(workshop(), images, error)
        raise


async def _leave(shop: Workshop, images: Iterable[tuple[ReleasePlan, str]], error: BaseException) -> None:
    ledger, reservation = shop.ledger, shop.reservation
    if ledger is None or reservation is None:
        return
    # A write that broke off may still be on its way.
    unknown = not isinstance(error, SlipwayError) or error.retryable
    if unknown or await _half_public(shop, images):
        try:
            await ledger.leave(reservation)
        except SlipwayError as trouble:
            logger.warning("the reservation of %s stands until it runs out: %s", reservation.version, trouble)
        # In either case it is not given back.
        shop.reservation = None


async def _half_public(shop: Workshop, images: Iterable[tuple[ReleasePlan, str]]) -> bool:
    for plan, digest in images:
        reference = ImageReference.parse(plan.reference)
        assert reference.tag is not None, "a version is tagged"
        try:
            there = await (await shop.registry(reference)).head(reference.repository, reference.tag, expected=digest)
        except SlipwayError:
            return True  # nobody knows
        if there is not None and there.digest == digest:
            return True
    return False


async def _point(registry: RegistryClient, repository: str, name: str, version: Version) -> None:
    manifest = await registry.manifest(repository, image_tag(version))
    there = await registry.head(repository, name)
    if there is None or there.digest != manifest.digest:
        await registry.put_tag(repository, name, manifest)


async def _stable_versions(registry: RegistryClient, repository: str) -> list[Version]:
    found = (version_of_tag(name) for name in await registry.tags(repository))
    return [version for version in found if version is not None and not version.prerelease]

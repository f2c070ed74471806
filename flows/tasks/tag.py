"""Tag: give the verified image its public names; the version's tag first, and never another image's."""

from __future__ import annotations

from collections.abc import Collection

from flows.domain.errors import VersionTaken
from flows.domain.plan import ReleasePlan, VerifiedImage
from flows.domain.reference import ImageReference
from flows.domain.version import Version, image_tag, latest, moving_tags, parse_version, version_of_tag
from flows.tasks.step import step
from flows.workshop import Workshop, workshop
from infra.registry import RegistryClient


@step("tag")
async def tag(plan: ReleasePlan, image: VerifiedImage) -> list[str]:
    """All tags that were written. Raises VersionTaken, TagImmutable, and what registry and git raise."""
    shop = workshop()
    written = await write_tags(shop, plan, image.digest)
    await publish(shop)
    return written


async def write_tags(shop: Workshop, plan: ReleasePlan, digest: str) -> list[str]:
    """The version's tag, and those that move with it. Raises VersionTaken and the RegistryErrors."""
    assert plan.version is not None, "there is something to release"
    reference = ImageReference.parse(plan.image)
    registry = await shop.registry(reference)
    version = parse_version(plan.version)
    name = image_tag(version)
    if not await is_tagged(registry, reference.with_tag(name), digest):
        await registry.put_tag(reference.repository, name, await registry.manifest(reference.repository, digest))
    written = [name]
    if plan.moving_tags:
        written += await _move_tags(registry, reference.repository, version, plan.tags_that_stay)
    return written


async def publish(shop: Workshop) -> None:
    """The version itself is public now: git's tag."""
    if shop.ledger is not None and shop.reservation is not None:
        await shop.ledger.publish(shop.reservation)


async def is_tagged(registry: RegistryClient, image: ImageReference, digest: str) -> bool:
    """Whether the tag names the digest already; raises VersionTaken if it names another."""
    assert image.tag is not None, "a tag is looked at"
    there = await registry.head(image.repository, image.tag)
    if there is not None and there.digest != digest:
        raise VersionTaken(f"{image.name}:{image.tag} exists with another digest ({there.digest})")
    return there is not None


async def _move_tags(
    registry: RegistryClient, repository: str, version: Version, tags_that_stay: Collection[str]
) -> list[str]:
    """Move what may move. Looks again afterwards: a higher version may have been tagged in the same moment, and
    whoever writes last has to see it."""
    moved: list[str] = []
    known = await _stable_versions(registry, repository)
    for name in moving_tags(version, known):
        if name in tags_that_stay:
            continue
        await _point(registry, repository, name, version)
        moved.append(name)
    for name in list(moved):
        scope = [v for v in await _stable_versions(registry, repository) if name in moving_tags(v, [v])]
        highest = latest(scope)
        if highest is not None and highest > version:
            await _point(registry, repository, name, highest)
            moved.remove(name)
    return moved


async def _point(registry: RegistryClient, repository: str, name: str, version: Version) -> None:
    manifest = await registry.manifest(repository, image_tag(version))
    there = await registry.head(repository, name)
    if there is None or there.digest != manifest.digest:
        await registry.put_tag(repository, name, manifest)


async def _stable_versions(registry: RegistryClient, repository: str) -> list[Version]:
    found = (version_of_tag(name) for name in await registry.tags(repository))
    return [version for version in found if version is not None and not version.prerelease]

"""Resolve: find the requested image's digest in the registry."""

from __future__ import annotations

from prefect_slipway.flows.rollouts.open_deploy import DeployRegistries
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import InvalidOption, ManifestUnknown
from prefect_slipway.infra.domain.labels import OCI_VERSION
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import image_tag, parse_version, version_of_tag
from prefect_slipway.infra.registry.client import RegistryClient


@step("resolve image")
async def resolve_image(registries: DeployRegistries, reference: str, version: str | None) -> DeployedImage:
    """Resolve the image. Raises ManifestUnknown if it does not exist, InvalidOption if the version has another
    digest."""
    return await resolved(registries, reference, version)


async def resolved(registries: DeployRegistries, reference: str, version: str | None) -> DeployedImage:
    """Resolve the image within another step."""
    image = ImageReference.parse(reference)
    registry = await registries.client(image)
    tag = image_tag(parse_version(version)) if version else image.tag
    named = await registry.head(image.repository, tag) if tag else None
    if image.digest is None:
        if named is None:
            raise ManifestUnknown(f"{image.name} has no tag {tag}")
        return DeployedImage(image.name, named.digest, version or await _version(registry, image, tag, named.digest))
    if await registry.head(image.repository, image.digest) is None:
        raise ManifestUnknown(f"{image.registry} has no {image.repository}@{image.digest}")
    if version and named is not None and named.digest != image.digest:
        raise InvalidOption(
            f"{image.name} {version} is {named.digest}, not {image.digest}", action="remove one of them"
        )
    return DeployedImage(image.name, image.digest, version or await _version(registry, image, image.tag, image.digest))


async def _version(registry: RegistryClient, image: ImageReference, tag: str | None, digest: str) -> str | None:
    """The version in the tag, else in the image's label; None if neither has one."""
    if tag is not None and (found := version_of_tag(tag)) is not None:
        return str(found)
    manifest = await registry.manifest(image.repository, digest)
    if manifest.is_index and not any(child.is_image for child in manifest.children):
        return None
    return (await registry.image_config(image.repository, manifest)).labels.get(OCI_VERSION) or None

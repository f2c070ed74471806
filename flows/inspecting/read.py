"""Read an image from its registry: the named one, and the version before it."""

from __future__ import annotations

import re
from dataclasses import replace

from prefect_slipway.flows.inspecting.attested import Attestations
from prefect_slipway.flows.inspecting.changes import compared
from prefect_slipway.flows.inspecting.values import InspectedImage, Layer, Platform
from prefect_slipway.infra.domain.errors import ManifestUnknown, RepositoryUnknown
from prefect_slipway.infra.domain.labels import OCI_VERSION
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.text import with_rest
from prefect_slipway.infra.domain.version import Version, image_tag, latest, version_of_tag
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.images import PlatformImage, platform_images, total_size

# annotations.md, "Pre-Defined Annotation Keys" (OCI image specification).
_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_SHOWN_VERSIONS = 5
# How BuildKit and docker mark what they write into a history.
_NOISE = re.compile(r"^(?:RUN )?/bin/sh -c #\(nop\) +|(?<!\s)\s+# buildkit$")


async def inspect(client: RegistryClient, image: ImageReference) -> InspectedImage:
    """Inspect an image; without tag and digest its newest version. Raises ManifestUnknown for what does not exist,
    RegistryErrors."""
    versions = await _versions(client, image)
    image = _named(image, versions)
    found = await _read(client, image, versions)
    current = version_of_tag(found.version.replace("+", "_")) if found.version else None
    before = previous(current, versions) if current is not None else None
    if before is None:
        return found
    return replace(found, previous=compared(found, await _read(client, image.with_tag(image_tag(before)), versions)))


async def named(client: RegistryClient, image: ImageReference) -> ImageReference:
    """The image with the tag of its newest version, if it has neither tag nor digest. Raises ManifestUnknown."""
    return _named(image, await _versions(client, image))


async def _versions(client: RegistryClient, image: ImageReference) -> list[Version]:
    return sorted({version for tag in await client.tags(image.repository) if (version := version_of_tag(tag))})


def _named(image: ImageReference, versions: list[Version]) -> ImageReference:
    if image.tag is not None or image.digest is not None:
        return image
    newest = latest(versions, stable_only=True) or latest(versions)
    if newest is None:
        raise _unknown(image, "released version", versions)
    return image.with_tag(image_tag(newest))


def previous(version: Version, versions: list[Version]) -> Version | None:
    """The highest version below: of a stable one the highest stable one."""
    return latest([each for each in versions if each < version], stable_only=not version.prerelease)


async def _read(client: RegistryClient, image: ImageReference, versions: list[Version]) -> InspectedImage:
    named = image.digest or str(image.tag)
    try:
        manifest = await client.manifest(image.repository, named)
        images = await platform_images(client, image.repository, manifest)
    except (ManifestUnknown, RepositoryUnknown) as error:
        raise _unknown(image, f"{'digest' if image.digest else 'tag'} {named}", versions) from error
    attestations = Attestations(client, image.repository)
    platforms = tuple([await read_platform(client, image.repository, each, attestations) for each in images])
    shown = version_of_tag(image.tag) if image.tag else None
    labels = platforms[0].labels if platforms else {}
    return InspectedImage(
        image=image.name,
        digest=manifest.digest,
        media_type=manifest.media_type,
        size=total_size(images),
        platforms=platforms,
        tag=image.tag,
        version=str(shown) if shown is not None else labels.get(OCI_VERSION),
        base=based_on(platforms),
        used=_used(platforms),
    )


async def read_platform(
    client: RegistryClient, repository: str, image: PlatformImage, attestations: Attestations
) -> Platform:
    """What the registry has of the image of one platform. Raises RegistryErrors."""
    config = await client.image_config(repository, image.manifest)
    layers = image.manifest.blobs[1:]
    # A history that does not fit the layers says nothing about them.
    steps = config.steps if len(config.steps) == len(layers) else ("",) * len(layers)
    return Platform(
        platform=image.platform,
        digest=image.manifest.digest,
        size=image.manifest.size,
        created=config.created,
        labels=dict(sorted(config.labels.items())),
        layers=tuple(
            Layer(layer.digest, layer.size, _NOISE.sub("", step)) for layer, step in zip(layers, steps, strict=True)
        ),
        attestations=await attestations.about(image.manifest.digest, image.statements),
    )


def based_on(platforms: tuple[Platform, ...]) -> tuple[str, ...]:
    """The base images, by the labels."""
    found: dict[str, None] = {}
    for each in platforms:
        if name := each.labels.get(_BASE_NAME):
            digest = each.labels.get(_BASE_DIGEST)
            found[f"{name}@{digest}" if digest else name] = None
    return tuple(found)


def _used(platforms: tuple[Platform, ...]) -> tuple[str, ...]:
    """By the provenance: also of stages that left nothing in the image, and the generator of an SBOM."""
    found: dict[str, None] = {}
    for each in platforms:
        for attestation in each.attestations:
            materials = attestation.provenance.materials if attestation.provenance is not None else ()
            found |= {one.uri: None for one in materials if one.uri.startswith("pkg:docker/")}
    return tuple(found)


def _unknown(image: ImageReference, what: str, versions: list[Version]) -> ManifestUnknown:
    newest = [str(version) for version in reversed(versions)][:_SHOWN_VERSIONS]
    there = f"it has {', '.join(with_rest(newest, len(versions)))}" if newest else "it has no version"
    return ManifestUnknown(
        f"{image.name} has no {what}, or the credentials may not read it",
        action=f"check the name and the version ({there}), or pass --credentials",
    )

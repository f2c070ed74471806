"""Verify: check that the registry has exactly what was built before any public name points to it."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.result import BuiltImage, VerifiedImage
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import NotAttested
from prefect_slipway.infra.domain.predicates import SLSA, SPDX
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.images import PlatformImage, layer_count, platform_images, total_size

# How the predicate types of BuildKit's attestations begin, by its name for the kind.
_PREDICATES = {"provenance": SLSA, "sbom": SPDX}

_WHY_NOT = "BuildKit before 0.11 cannot, and an image without layers gets none"


@step("verify")
async def verify(registries: Registries, built: Sequence[BuiltImage]) -> tuple[VerifiedImage, ...]:
    """Verify the images, and what is attached to them. Raises NotAttested, DigestMismatch, ManifestUnknown and the
    other RegistryErrors."""
    return tuple(await run_concurrently(*(_verified(registries, image) for image in built)))


async def _verified(registries: Registries, built: BuiltImage) -> VerifiedImage:
    image = ImageReference.parse(built.planned.image)
    registry = await registries.client(image)
    manifest = await registry.manifest(image.repository, built.digest)
    images = await platform_images(registry, image.repository, manifest)
    missing = [kind for kind in built.attests if not all(_has(kind, each) for each in images)]
    for kind in missing:
        if kind in built.required_attests:
            raise NotAttested(
                f"the builder did not attach the {kind} to {image.name}@{built.digest}",
                action=f"{_WHY_NOT}: use another builder, or do not ask for it",
            )
    return VerifiedImage(
        built,
        media_type=manifest.media_type,
        size=total_size(images),
        layers=layer_count(images),
        platforms={each.platform: each.manifest.digest for each in images},
        attestations=common_predicates(images),
        warnings=tuple(f"{image.name} has no {kind}, as its builder attached none ({_WHY_NOT})" for kind in missing),
    )


def common_predicates(images: Sequence[PlatformImage]) -> tuple[str, ...]:
    """The predicate types that the images of all platforms have."""
    return tuple(
        kind for kind in (images[0].predicates if images else ()) if all(kind in each.predicates for each in images)
    )


def kinds(predicates: Sequence[str]) -> set[str]:
    """The kinds of attestations, whose format depends on the daemon's version: SLSA's URI ends in its own."""
    return {uri.rpartition("/")[0] for uri in predicates}


def _has(kind: str, image: PlatformImage) -> bool:
    return any(predicate.startswith(_PREDICATES.get(kind, "")) for predicate in image.predicates)

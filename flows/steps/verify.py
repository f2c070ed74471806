"""Verify: check that the registry has exactly what was built before any public name points to it."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.result import BuiltImage, VerifiedImage
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.reference import ImageReference


@step("verify")
async def verify(registries: Registries, built: Sequence[BuiltImage]) -> tuple[VerifiedImage, ...]:
    """Verify the images. Raises DigestMismatch, ManifestUnknown and the other RegistryErrors."""
    return tuple(await run_concurrently(*(_verified(registries, image) for image in built)))


async def _verified(registries: Registries, built: BuiltImage) -> VerifiedImage:
    image = ImageReference.parse(built.planned.image)
    registry = await registries.client(image)
    manifest = await registry.manifest(image.repository, built.digest)
    return VerifiedImage(
        built,
        media_type=manifest.media_type,
        size=await registry.total_size(image.repository, manifest),
        # The first blob is the configuration; an index has none, its images count their own.
        layers=max(0, len(manifest.blobs) - 1),
    )

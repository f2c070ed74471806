"""Verify: the registry holds what was built, byte for byte, before any public name points to it."""

from __future__ import annotations

from prefect_slipway.flows.run.workshop import workshop
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.plan import ReleasePlan, VerifiedImage
from prefect_slipway.infra.domain.reference import ImageReference


@step("verify")
async def verify(plan: ReleasePlan, digest: str) -> VerifiedImage:
    """Raises DigestMismatch, ManifestUnknown and the other RegistryErrors."""
    return await verified(plan, digest)


async def verified(plan: ReleasePlan, digest: str) -> VerifiedImage:
    """The same within another step."""
    image = ImageReference.parse(plan.image)
    registry = await workshop().registry(image)
    manifest = await registry.manifest(image.repository, digest)
    return VerifiedImage(
        digest=manifest.digest,
        media_type=manifest.media_type,
        size=await registry.total_size(image.repository, manifest),
        # The first blob is the configuration; an index has none, its images count their own.
        layers=max(0, len(manifest.blobs) - 1),
    )

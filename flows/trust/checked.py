"""Verify a released image: its index and each platform, and the attestations that are required."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prefect_slipway.flows.trust.verifying import verify_attested, verify_signed
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import NotAttested
from prefect_slipway.infra.domain.predicates import SLSA, predicate_name
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Verifier
from prefect_slipway.infra.registry import RegistryClient
from prefect_slipway.infra.registry.images import PlatformImage, platform_images
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from prefect_slipway.infra.signing import BUNDLE, statement

_TYPES: Mapping[str, Sequence[str]] = {
    "SLSA provenance": (statement.PROVENANCE, f"{SLSA}v0.2"),
    "SBOM": (statement.SPDX, statement.CYCLONEDX),
}
PROVENANCE, SBOM = _TYPES


@dataclass(frozen=True, slots=True)
class Verified:
    """`keys`: those that signed the image. `platforms`: digests, each signed as well. `attestations`: the types that
    were required, as each platform has them."""

    image: str
    digest: str
    keys: tuple[str, ...]
    platforms: dict[str, str]
    attestations: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"verified": True, **asdict(self)}

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.image}@{self.digest}", *(f"  signed by {key}" for key in self.keys)]
        lines += [f"  {platform or 'image'} {digest}, signed" for platform, digest in self.platforms.items()]
        return [*lines, *(f"  {each}, signed" for each in self.attestations)]


async def verify_image(
    client: RegistryClient, image: ImageReference, verifier: Verifier, *, required: Sequence[str] = ()
) -> Verified:
    """Verify the image, each of its platforms, and for each the attestations of the kinds `required` (PROVENANCE,
    SBOM).

    Raises NotSigned, NotAttested, and what was wrong with the signature that came furthest (UntrustedKey,
    OtherRepositorySigned, SignatureInvalid and the like); RegistryErrors.
    """
    manifest = await client.manifest(image.repository, str(image.digest or image.tag))
    whole = image.with_digest(manifest.digest)
    platforms = await platform_images(client, image.repository, manifest)
    keys = await _signed(client, whole, verifier)
    await run_concurrently(
        *(
            _signed(client, image.with_digest(each.manifest.digest), verifier)
            for each in platforms
            if each.manifest.digest != manifest.digest
        )
    )
    found = await run_concurrently(
        *(_attested(client, image, each, kind, verifier) for kind in required for each in platforms)
    )
    return Verified(
        image=image.name,
        digest=manifest.digest,
        keys=keys,
        platforms={each.platform: each.manifest.digest for each in platforms},
        attestations=tuple(dict.fromkeys(predicate_name(each) for each in found)),
    )


async def _signed(client: RegistryClient, image: ImageReference, verifier: Verifier) -> tuple[str, ...]:
    found = await verify_signed(
        image,
        verifier,
        tagged=TaggedAttachments(client, image.repository),
        referrers=Referrers(client, image.repository, BUNDLE),
    )
    return tuple(dict.fromkeys(str(each.key) for each in found))


async def _attested(
    client: RegistryClient, image: ImageReference, platform: PlatformImage, kind: str, verifier: Verifier
) -> str:
    """The type of the platform's attestation of a kind. Raises as `verify_attested`."""
    about = image.with_digest(platform.manifest.digest)
    for predicate in _TYPES[kind]:
        try:
            await verify_attested(about, predicate, verifier, referrers=Referrers(client, image.repository, BUNDLE))
        except NotAttested:
            continue
        return predicate
    raise NotAttested(f"{about} has no signed {kind}")

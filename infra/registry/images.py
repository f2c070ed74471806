"""The images of a manifest, one for each platform, and what BuildKit attached to each.

Source: docs/attestations/attestation-storage.md in moby/buildkit. Attestations are manifests of their own in the index,
of the platform unknown/unknown; each of their layers is an in-toto statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prefect_slipway.infra.domain.errors import RegistryProtocolError
from prefect_slipway.infra.domain.predicates import PREDICATE, STATEMENT
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import Descriptor, Manifest

_SUBJECT = "vnd.docker.reference.digest"
# No index holds more images; each costs a request.
_MOST_CHILDREN = 1000


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """`platform`: `linux/arm64/v8`, "" if the registry does not say. `statements`: the layers with attestations."""

    platform: str
    manifest: Manifest
    statements: tuple[Descriptor, ...] = ()

    @property
    def predicates(self) -> tuple[str, ...]:
        """The types of the attestations, each once."""
        return tuple(dict.fromkeys(each.annotations[PREDICATE] for each in self.statements))


async def platform_images(client: RegistryClient, repository: str, manifest: Manifest) -> tuple[PlatformImage, ...]:
    """The images of an index, or the only one, each with its verified manifest. Raises RegistryErrors."""
    if not manifest.is_index:
        config = await client.image_config(repository, manifest)
        return (PlatformImage(config.platform, manifest),)
    children = manifest.children
    if len(children) > _MOST_CHILDREN:
        raise RegistryProtocolError(f"the index {manifest.digest} contains {len(children)} manifests")
    attached: dict[str, list[Descriptor]] = {}
    for child in children:
        if not child.is_image:
            layers = (await client.manifest(repository, child.digest)).blobs
            found = [each for each in layers if each.media_type == STATEMENT and PREDICATE in each.annotations]
            attached.setdefault(child.annotations.get(_SUBJECT, ""), []).extend(found)
    return tuple(
        [
            PlatformImage(
                child.platform or "",
                await client.manifest(repository, child.digest),
                tuple(attached.get(child.digest, ())),
            )
            for child in children
            if child.is_image
        ]
    )


def total_size(images: Iterable[PlatformImage]) -> int:
    """Bytes of configurations and layers, shared ones once."""
    return sum({blob.digest: blob.size for image in images for blob in image.manifest.blobs}.values())


def layer_count(images: Iterable[PlatformImage]) -> int:
    """How many layers there are, shared ones once."""
    # The first blob is the configuration.
    return len({blob.digest for image in images for blob in image.manifest.blobs[1:]})

"""Caches in a registry, as BuildKit imports and exports them (moby/buildkit, docs/README "Registry" cache)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference

# `mode=max`: every step's layers, those of stages that are not in the image as well. Layers that the image has pushed
# stay as they are and need no second upload; without `force-compression` only the others are compressed, by zstd. The
# form of an image manifest in OCI media types is what most registries accept.
_EXPORT = {"mode": "max", "compression": "zstd", "image-manifest": "true", "oci-mediatypes": "true"}

logger = logging.getLogger(__name__)


async def existing_caches(registries: Registries, references: Iterable[str]) -> tuple[str, ...]:
    """Those that exist: BuildKit would show an error for each that is missing. None of it fails a build."""
    references = tuple(references)
    found = await run_concurrently(*(_exists(registries, reference) for reference in references))
    return tuple(reference for reference, exists in zip(references, found, strict=True) if exists)


async def cache_size(registries: Registries, reference: str) -> int:
    """Bytes of all that a cache names. Raises RegistryErrors."""
    image = ImageReference.parse(reference)
    client = await registries.client(image)
    manifest = await client.manifest(image.repository, str(image.tag))
    # An index where the daemon does not know image manifests for it (BuildKit before 0.12).
    return sum({each.digest: each.size for each in (*manifest.blobs, *manifest.children)}.values())


def cache_import(registries: Registries, reference: str) -> CacheEntry:
    """The entry of a build that reads the cache."""
    return CacheEntry("registry", _place(registries, reference))


def cache_export(registries: Registries, reference: str) -> CacheEntry:
    """The entry of a build that writes it."""
    return CacheEntry("registry", {**_place(registries, reference), **_EXPORT})


def _place(registries: Registries, reference: str) -> dict[str, str]:
    insecure = registries.insecure(ImageReference.parse(reference).registry)
    return {"ref": reference, **({"registry.insecure": "true"} if insecure else {})}


async def _exists(registries: Registries, reference: str) -> bool:
    image = ImageReference.parse(reference)
    try:
        client = await registries.client(image)
        return await client.head(image.repository, str(image.tag)) is not None
    except SlipwayError as error:
        logger.warning("the build cache %s is not imported: %s", reference, error.cause)
        return False

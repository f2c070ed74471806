"""The document that policies are asked about: everything that the registry has of an image. docs/guides/gates.md
lists its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from prefect_slipway.flows.gates.tested import TestedImage
from prefect_slipway.flows.inspecting.attested import Attestations, packages_in
from prefect_slipway.flows.inspecting.read import based_on, read_platform
from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.domain.predicates import CYCLONEDX, SLSA, SPDX, predicate_name
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.images import PlatformImage, platform_images
from prefect_slipway.infra.signing.reading import objects_in


async def document_of(client: RegistryClient, image: TestedImage) -> dict[str, Any]:
    """Raises SignatureMalformed for provenance or an SBOM that cannot be read: what a policy does not see it cannot
    deny. Raises RegistryErrors."""
    repository = image.name.repository
    manifest = await client.manifest(repository, image.verified.digest)
    images = await platform_images(client, repository, manifest)
    platforms = [await _platform(client, repository, each) for each in images]
    return {
        "reference": image.reference,
        "repository": image.name.name,
        "digest": image.verified.digest,
        "version": image.version,
        "tags": list(image.verified.planned.tags),
        "size": image.verified.size,
        "platforms": platforms,
    }


async def _platform(client: RegistryClient, repository: str, image: PlatformImage) -> dict[str, Any]:
    packages: list[dict[str, Any]] | None = None

    def seen(kind: str, predicate: Mapping[str, Any]) -> None:
        nonlocal packages
        if kind.startswith((SPDX, CYCLONEDX)):
            packages = [*(packages or []), *_packages(kind, predicate)]

    found = await read_platform(client, repository, image, Attestations(client, repository, seen=seen))
    for each in found.attestations:
        if each.problem and each.type.startswith((SLSA, SPDX, CYCLONEDX)):
            raise SignatureMalformed(
                f"the {predicate_name(each.type)} of {found.digest} cannot be read: {each.problem}"
            )
    config = await client.image_config(repository, image.manifest)
    provenance = next((each.provenance for each in found.attestations if each.provenance is not None), None)
    return {
        "platform": found.platform,
        "digest": found.digest,
        "size": sum(blob.size for blob in image.manifest.blobs),
        "user": config.user,
        "ports": list(config.ports),
        "labels": found.labels,
        "layers": [asdict(each) for each in found.layers],
        "base": list(based_on((found,))),
        "packages": packages,
        "provenance": asdict(provenance) if provenance is not None else None,
    }


def _packages(kind: str, predicate: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """SPDX 2.3, 7.1 to 7.15; CycloneDX 1.6, `components`."""
    spdx = kind.startswith(SPDX)
    for each in packages_in(kind, predicate):
        if not isinstance(each.get("name"), str):
            continue
        version = each.get("versionInfo" if spdx else "version")
        licences = [each.get("licenseConcluded"), each.get("licenseDeclared")] if spdx else list(_of_cyclonedx(each))
        known = [one for one in licences if isinstance(one, str) and one not in {"", "NOASSERTION", "NONE"}]
        yield {
            "name": each["name"],
            "version": version if isinstance(version, str) else "",
            "licences": sorted(set(known)),
        }


def _of_cyclonedx(component: Mapping[str, Any]) -> Iterator[Any]:
    for each in objects_in(component.get("licenses")):
        licence = each.get("license")
        yield each.get("expression") or (
            (licence.get("id") or licence.get("name")) if isinstance(licence, dict) else None
        )

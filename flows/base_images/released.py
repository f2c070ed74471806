"""The last release and the current state of its base images, both read from registries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect_slipway.flows.base_images.changes import Sighting
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.sources import dockerfile_of, open_source
from prefect_slipway.infra.domain.dockerfile import base_images
from prefect_slipway.infra.domain.errors import DockerfileInvalid, DockerfileMissing, InvalidOption, ManifestUnknown
from prefect_slipway.infra.domain.labels import OCI_REVISION
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import image_tag, latest, version_of_tag
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import ImageConfig, Manifest
from prefect_slipway.infra.source.resolve import GitSpec, parse_source

_MOST_DOCKERFILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Release:
    """The last stable version of an image; `digest` None: there is none. `layers`: diff ids for each platform."""

    image: str
    version: str | None = None
    digest: str | None = None
    revision: str | None = None
    layers: dict[str, tuple[str, ...]] | None = None


async def latest_release(run: OpenRun) -> Release:
    """The latest release by the registry's tags. Raises RegistryErrors; InvalidOption if the request names no image."""
    if run.request.image is None:
        raise InvalidOption(
            "the release's request does not name an image", action="set the image in the deployment or in the check"
        )
    image = ImageReference.parse(run.request.image)
    client = await run.registries(image.registry).client(image)
    tags = await client.tags(image.repository)
    versions = [version for tag in tags if (version := version_of_tag(tag)) is not None]
    newest = latest(versions, stable_only=True)
    if newest is None:
        return Release(image.name)
    manifest = await client.manifest(image.repository, image_tag(newest))
    configs = await _configs(client, image.repository, manifest, None)
    return Release(
        image.name,
        str(newest),
        manifest.digest,
        next(iter(configs.values())).labels.get(OCI_REVISION),
        {platform: config.diff_ids for platform, config in configs.items()},
    )


async def sightings(run: OpenRun, release: Release) -> list[Sighting]:
    """The bases in the Dockerfile that was released, as their registries have them now; those by digest never move.

    Raises SourceErrors, DockerfileMissing, DockerfileInvalid, RegistryErrors.
    """
    found = []
    request = run.request
    for base in base_images(
        await _dockerfile(run, release),
        build_args=request.build_args,
        target=request.build.target,
        platforms=request.platforms,
        contexts=request.build.contexts,
    ):
        reference = ImageReference.parse(base.name)
        if reference.digest is not None:
            continue
        client = await _registry(run, reference)
        tag = reference.tag or "latest"
        manifest = await client.manifest(reference.repository, tag)
        wanted = set(release.layers or {})
        now = _platforms(manifest, wanted)
        begins = await _begins(client, reference.repository, manifest, release) if base.runtime else None
        found.append(Sighting(base.name, now, begins))
    return found


def released_source(run: OpenRun, release: Release) -> dict[str, Any]:
    """The request's fields that fetch the released commit again; none if the source has no commits."""
    request = run.request
    if request.source.startswith("vault:"):  # an archive, which has no commits
        return {}
    asked = request.checkout
    spec = parse_source(request.source, ref=asked.ref, path=asked.path, checksum=asked.checksum)
    if release.revision is None or not isinstance(spec, GitSpec):
        return {}
    return {
        "source": spec.url,
        "checkout": {"ref": release.revision, "path": spec.subdirectory, "credentials": asked.credentials},
    }


async def _dockerfile(run: OpenRun, release: Release) -> str:
    """From the released commit if there is one, else from the source as it is."""
    request = run.request.changed(released_source(run, release))
    async with await open_source(run, request) as checkout:
        path = dockerfile_of(request, checkout)
        if path.exists() and not path.is_file():
            raise DockerfileMissing(f"{request.file} of {request.source} is not a file")
        try:
            with path.open("rb") as file:
                return file.read(_MOST_DOCKERFILE).decode()
        except OSError as error:
            raise DockerfileMissing(f"{request.source} has no {request.file} ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise DockerfileInvalid(f"{request.file} of {request.source} is not UTF-8") from error


async def _registry(run: OpenRun, base: ImageReference) -> RegistryClient:
    """The image's own registry is spoken to as the request says, others as usual."""
    registries = run.registries(run.image("any").registry)
    return await registries.client(base, as_usual=base.registry != registries.host)


async def _begins(client: RegistryClient, repository: str, manifest: Manifest, release: Release) -> bool:
    """Whether the released image has the base's layers first, on every platform that both have."""
    configs = await _configs(client, repository, manifest, set(release.layers or {}))
    return all(
        (release.layers or {})[platform][: len(config.diff_ids)] == config.diff_ids
        for platform, config in configs.items()
        if platform in (release.layers or {})
    )


async def _configs(
    client: RegistryClient, repository: str, manifest: Manifest, wanted: set[str] | None
) -> dict[str, ImageConfig]:
    """The configuration for each platform; `wanted`: of these alone, None for all. Raises ManifestUnknown for none."""
    if not manifest.is_index:
        config = await client.image_config(repository, manifest)
        return {_plain(config.platform): config}
    configs = {}
    for child in manifest.children:
        if child.is_image and (wanted is None or _plain(child.platform or "") in wanted):
            inner = await client.manifest(repository, child.digest)
            configs[_plain(child.platform or "")] = await client.image_config(repository, inner)
    if not configs and wanted is None:
        raise ManifestUnknown(f"the index {manifest.digest} contains no image")
    return configs


def _platforms(manifest: Manifest, wanted: set[str]) -> dict[str, str]:
    """The digests that count: an index moves for platforms that nobody asked for as well."""
    if not manifest.is_index:
        return {"": manifest.digest}
    of_all = {_plain(child.platform or ""): child.digest for child in manifest.children if child.is_image}
    return {platform: digest for platform, digest in of_all.items() if platform in wanted} or of_all


def _plain(platform: str) -> str:
    """arm64 means arm64/v8 (containerd's platforms package)."""
    return platform.removesuffix("/v8") if platform.endswith("arm64/v8") else platform

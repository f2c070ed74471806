"""Choose how to read a source: a directory as it is, a git revision, or an archive."""

from __future__ import annotations

from pathlib import Path

from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import needed
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.secret_path import SecretField
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from prefect_slipway.infra.source.resolve import ArchiveSpec, DirectorySpec, parse_source


def dockerfile_of(request: ReleaseRequest, checkout: Checkout) -> Path:
    """The path of the request's Dockerfile, which need not exist. Raises InvalidOption for one outside the source,
    because a release shows its Dockerfile."""
    places = Places.of(checkout.path, checkout.top, ())
    return places.path("--file", request.file, action="use a Dockerfile in the source, relative to the build context")


async def open_source(run: OpenRun, request: ReleaseRequest | None = None) -> Checkout:
    """Open a source. Fetched files go to a separate directory, which is removed when the checkout is closed.

    `request`: whose source it is; None: the run's. Raises the SourceErrors, InvalidOption, the VaultErrors for a URL
    that is kept in Vault.
    """
    request = request or run.request
    address = await _from_vault(run, request.source) if request.source.startswith("vault:") else request.source
    asked = request.checkout
    spec = parse_source(address, ref=asked.ref, path=asked.path, checksum=asked.checksum)
    if isinstance(spec, DirectorySpec):
        return await open_directory(spec.path, allow_dirty=asked.allow_dirty)
    workdir = run.home / "work"
    ca_file = Path(asked.ca) if asked.ca else None
    if isinstance(spec, ArchiveSpec):
        from prefect_slipway.infra.source.archive import fetch_archive

        return await fetch_archive(
            spec.url,
            spec.checksum,
            subdirectory=spec.subdirectory,
            credentials=run.git_credentials(),
            ca_file=ca_file,
            workdir=workdir,
        )
    return await fetch_git(
        spec.url,
        ref=spec.ref,
        subdirectory=spec.subdirectory,
        submodules=asked.submodules,
        credentials=run.git_credentials(),
        ca_file=ca_file,
        workdir=workdir,
    )


async def _from_vault(run: OpenRun, place: str) -> str:
    """The URL that Vault holds now: a presigned one may be made again for each release."""
    secret = SecretField.parse(place)
    vault = needed(run.vault, "the source's URL is in Vault")
    url = (await vault.read(secret.path)).text(secret.field)
    if "://" not in url:
        raise InvalidOption(f"{place} does not contain a URL", action="store the whole URL there, https://…")
    return url

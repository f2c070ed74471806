"""The released versions as seen from the revision to release: its own line, and the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.infra.domain.errors import (
    DigestMismatch,
    ManifestUnknown,
    RegistryProtocolError,
    RepositoryUnknown,
)
from prefect_slipway.infra.domain.labels import OCI_REVISION
from prefect_slipway.infra.domain.ledger import Released, VersionLedger
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import Version, image_tag, is_of_series
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.history import History, Series
from prefect_slipway.infra.source.ledger import GitLedger
from prefect_slipway.infra.source.url import is_full_id

Images = Mapping[ImageReference, RegistryClient]
"""What is released, a set's first image first."""


class Commits(Protocol):
    """The commits that led to the revision."""

    async def since(self, start: str | None) -> Series:
        """As of History."""
        ...


@dataclass(frozen=True)
class Lineage:
    """`line`: released in the history of the revision, highest first, each version once (without git: all there are).
    `elsewhere`: released too, but from other commits. `history`: of the revision, None without one."""

    line: tuple[Released, ...]
    elsewhere: tuple[Version, ...] = ()
    history: Commits | None = None

    def latest(self, *, stable_only: bool = False) -> Released | None:
        """The highest version of the line."""
        return next((release for release in self.line if not (stable_only and release.version.prerelease)), None)

    def of_series(self, token: str) -> Lineage:
        """Without the prereleases of other channels, which this one does not follow."""
        return replace(
            self, line=tuple(one for one in self.line if not one.version.prerelease or is_of_series(one.version, token))
        )


async def released_versions(ledger: VersionLedger) -> Sequence[Released]:
    """All released versions, with the commits of their git tags."""
    if isinstance(ledger, GitLedger):
        return await ledger.released()
    return [Released(version) for version in await ledger.versions()]


async def look_back(
    run: OpenRun, ledger: VersionLedger, checkout: Checkout, images: Images, released: Collection[Released]
) -> Lineage:
    """Find the line of the checkout's revision among the released versions.

    Git's tags name their commits, images carry them as a label; an image without one counts as of the line. Raises
    HistoryIncomplete, and what git and the registry raise.
    """
    highest_first = sorted(released, key=lambda release: release.version, reverse=True)
    if checkout.repository is None or checkout.revision is None:
        return Lineage(tuple(highest_first))
    choice = run.request.version
    history = await History.open(
        checkout, remote=choice.git_remote, credentials=run.git_credentials(), paths=choice.paths
    )
    if not isinstance(ledger, GitLedger):
        return await _by_labels(history, images, [release.version for release in highest_first])
    if not released and ledger.remote is None:
        await history.complete()  # a shallow clone may lack the tags as well
    inside = await history.includes([release.revision for release in highest_first if release.revision is not None])
    line = [release for release in highest_first if release.revision in inside]
    elsewhere = tuple(release.version for release in highest_first if release.revision not in inside)
    return Lineage(await _each_once(history, line), elsewhere, history)


async def _by_labels(history: History, images: Images, highest_first: Sequence[Version]) -> Lineage:
    """Images are checked down to the line's highest stable version; older ones change nothing."""
    line: list[Released] = []
    elsewhere: list[Version] = []
    groups = [list(same) for _, same in groupby(highest_first)]
    while groups:
        seen = [Released(version, await revision_label(images, version)) for version in groups.pop(0)]
        inside = await history.includes([release.revision for release in seen if release.revision is not None])
        ours = [release for release in seen if release.revision is None or release.revision in inside]
        line += ours
        elsewhere += [release.version for release in seen if release not in ours]
        if ours and not ours[0].version.prerelease:
            line += [Released(version) for same in groups for version in same]
            break
    return Lineage(await _each_once(history, line), tuple(elsewhere), history)


async def _each_once(history: History, line: Sequence[Released]) -> tuple[Released, ...]:
    """Of versions that differ in build metadata alone, which are one version (SemVer section 10), the later one."""
    kept = []
    for _, group in groupby(line, key=lambda release: release.version):
        same = list(group)
        revisions = [release.revision for release in same if release.revision is not None]
        latest = await history.newest(revisions) if len(same) > 1 and revisions else same[0].revision
        kept.append(next(release for release in same if release.revision == latest))
    return tuple(kept)


async def revision_label(images: Images, version: Version) -> str | None:
    """The commit in a released image's label; None without one."""
    image, registry = next(iter(images.items()))
    # Not every tag that looks like a version is an image of Slipway's, or still there.
    with suppress(ManifestUnknown, RepositoryUnknown, RegistryProtocolError, DigestMismatch):
        revision = (await image_labels(image, registry, version))[1].get(OCI_REVISION, "")
        return revision if is_full_id(revision) else None
    return None


async def image_labels(image: ImageReference, registry: RegistryClient, version: Version) -> tuple[str, dict[str, str]]:
    """Digest and labels of a version's image. Raises RegistryErrors."""
    manifest = await registry.manifest(image.repository, image_tag(version))
    config = await registry.image_config(image.repository, manifest)
    return manifest.digest, dict(config.labels)

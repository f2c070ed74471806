"""Which version comes next and why, or why there is nothing to release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.domain.commits import decide
from flows.domain.errors import InvalidOption, VersionTaken
from flows.domain.plan import OCI_REVISION, SLIPWAY_FINGERPRINT
from flows.domain.reference import ImageReference
from flows.domain.version import Bump, Version, image_tag, latest, next_version, parse_version
from flows.workshop import Workshop
from infra.registry import RegistryClient
from infra.source import Checkout, commits_since

DEFAULT_TAG_PREFIX = "v"
RELEASED_BEFORE = "an earlier attempt of this run released it"


@dataclass(frozen=True)
class Choice:
    """Which version, and why. `bump` None with a `version` None: there is nothing to release since `last`."""

    why: str
    bump: Bump | None = None
    version: Version | None = None
    commits: tuple[str, ...] = ()
    last: Version | None = None

    @property
    def nothing(self) -> bool:
        return self.bump is None and self.version is None

    def pick(self, taken: Sequence[Version], token: str) -> Version:
        """The version to reserve, given those that are released or reserved. Raises VersionTaken."""
        if self.version is None:
            assert self.bump is not None, "nothing to release: nothing to pick"
            return next_version(taken, self.bump, token=token)
        if self.version in taken:
            raise VersionTaken(f"the version {self.version} is released or reserved already")
        return self.version


async def choose(
    shop: Workshop,
    checkout: Checkout,
    image: ImageReference,
    registry: RegistryClient,
    released: Sequence[Version],
    mark: str,
) -> Choice:
    """Decide by the request and what is released. `mark`: the fingerprint of what would be built. Raises InvalidOption,
    and what registry and git raise."""
    request = shop.request
    if request.only_new and request.bump is not Bump.AUTO:
        last = _last_of_its_kind(shop, released)
        if last is not None and await _is_released(shop, checkout, image, registry, last, mark):
            return Choice(f"nothing new since {last}", last=last)
    if request.version is not None:
        return Choice(f"--version {request.version}", version=parse_version(request.version))
    if request.bump is not Bump.AUTO:
        return Choice(f"{request.bump} asked for" if released else "the first version", bump=request.bump)
    if not released:
        return Choice("the first version", bump=Bump.MINOR)
    if checkout.repository is None:
        raise InvalidOption(
            "--bump auto reads git commits, but the source is not in a git repository",
            action="say --bump major, minor or patch",
        )
    last = latest(released, stable_only=True) or latest(released)
    assert last is not None, "released is not empty"
    since = await _revision_of(shop, checkout, image, registry, last)
    if since is None:
        raise InvalidOption(
            f"--bump auto needs the revision of {last}, but that image carries no {OCI_REVISION} label",
            action="say --bump major, minor or patch this once",
        )
    decision = decide(await commits_since(checkout, since, credentials=shop.git_credentials()), current=last)
    return Choice(
        decision.reason,
        bump=decision.bump,
        commits=tuple(str(commit) for commit in decision.deciding),
        last=last,
    )


async def same_release(image: ImageReference, registry: RegistryClient, version: Version, mark: str) -> str | None:
    """The digest of the image with this version if it was built from the same source with the same options."""
    if await registry.head(image.repository, image_tag(version)) is None:
        return None
    digest, labels = await _labels(image, registry, version)
    return digest if labels.get(SLIPWAY_FINGERPRINT) == mark else None


def _last_of_its_kind(shop: Workshop, released: Sequence[Version]) -> Version | None:
    """The version to compare with: a prerelease of the same commit does not make a stable release superfluous."""
    request = shop.request
    if request.version is not None:
        prerelease = parse_version(request.version).prerelease is not None
    else:
        prerelease = request.bump is Bump.PRERELEASE
    return latest(released, stable_only=not prerelease)


async def _is_released(
    shop: Workshop, checkout: Checkout, image: ImageReference, registry: RegistryClient, last: Version, mark: str
) -> bool:
    """Whether `last` holds this source already: no commit touched it since or, without git, nothing in it changed (what
    a reproducible image of a directory does not tell: that is always new)."""
    if checkout.revision is not None and not checkout.dirty:
        since = await _revision_of(shop, checkout, image, registry, last)
        if since is not None:
            return not await commits_since(checkout, since, credentials=shop.git_credentials())
    return await same_release(image, registry, last, mark) is not None


async def _revision_of(
    shop: Workshop, checkout: Checkout, image: ImageReference, registry: RegistryClient, version: Version
) -> str | None:
    """The git revision (or tag) of a released version: its git tag, else the revision its image carries."""
    prefix = shop.request.tag_prefix
    if prefix is not None or checkout.is_repository_root:
        return f"refs/tags/{DEFAULT_TAG_PREFIX if prefix is None else prefix}{version}"
    _, labels = await _labels(image, registry, version)
    return labels.get(OCI_REVISION)


async def _labels(image: ImageReference, registry: RegistryClient, version: Version) -> tuple[str, Mapping[str, str]]:
    """Digest and labels of a version's image."""
    manifest = await registry.manifest(image.repository, image_tag(version))
    config = await registry.image_config(image.repository, manifest)
    return manifest.digest, config.labels

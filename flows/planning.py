"""How a release's version, tags and labels are decided. No Prefect here: `slipway plan` and the plan step share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flows.domain.commits import decide
from flows.domain.errors import InvalidOption, VersionTaken
from flows.domain.ledger import Claim, VersionLedger
from flows.domain.plan import OCI_REVISION, SLIPWAY_FINGERPRINT, ReleasePlan, SourceFacts, image_labels
from flows.domain.reference import ImageReference, repository_name
from flows.domain.version import Bump, Version, image_tag, latest, next_version, parse_version, version_of_tag
from flows.request import ReleaseRequest
from flows.workshop import Workshop
from infra.local.claims import FileClaims
from infra.registry import RegistryClient
from infra.registry.ledger import RegistryLedger
from infra.source import Checkout, GitLedger, commits_since

DEFAULT_TAG_PREFIX = "v"


@dataclass(frozen=True)
class Choice:
    """Which version, and why. `bump` None with a `version` None: there is nothing to release."""

    why: str
    bump: Bump | None = None
    version: Version | None = None
    commits: tuple[str, ...] = ()

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


async def plan_release(shop: Workshop, checkout: Checkout, *, run: str, reserve: bool) -> ReleasePlan:
    """Decide everything a release will do.

    `reserve`: take the version for this run (the reservation is kept in the workshop); a plan that is only looked at
    reserves nothing. Raises VersionTaken, VersionReserved, InvalidOption and what registry, git and Vault raise.
    """
    request = shop.request
    if shop.ledger is not None and shop.reservation is not None:
        # A second try of this step: what the first one had reserved would stand in its way.
        await shop.ledger.give_back(shop.reservation)
        shop.reservation = None
    source = source_facts(checkout)
    image = shop.image(source.name)
    registry = await shop.registry(image)
    shop.ledger = ledger = await choose_ledger(shop, checkout, image, registry)
    released = await ledger.versions()
    previous = latest(released)

    choice = await _choose(shop, checkout, image, registry, released)
    if choice.nothing:
        return ReleasePlan(
            image=image.name,
            version=None,
            why=choice.why,
            source=source,
            previous_version=str(previous) if previous else None,
        )
    mark = fingerprint(request, source)
    try:
        version, existing = await _settle(shop, image, registry, choice, Claim(run, mark), reserve=reserve)
        why = choice.why
    except VersionTaken:
        existing = await _same_release(image, registry, choice.version, mark) if choice.version else None
        if existing is None or choice.version is None:
            raise
        version, why = choice.version, "this very release exists already"
    return _plan(shop, image, source, version, why, previous, existing, choice.commits)


async def choose_ledger(
    shop: Workshop, checkout: Checkout, image: ImageReference, registry: RegistryClient
) -> VersionLedger:
    """Git's tags where the source is a repository's root or a tag prefix was named; the registry's tags elsewhere."""
    prefix = shop.request.tag_prefix
    if checkout.repository is not None and checkout.revision is not None:
        if prefix is not None or checkout.is_repository_root:
            return await GitLedger.open(
                checkout,
                prefix=DEFAULT_TAG_PREFIX if prefix is None else prefix,
                remote=shop.request.git_remote,
                credentials=shop.git_credentials(),
            )
    elif prefix is not None:
        raise InvalidOption(
            "a tag prefix was named, but the source is not in a git repository with a commit",
            action="leave --tag-prefix out: the versions are then read from the registry",
        )
    return RegistryLedger(registry, image.repository, FileClaims(shop.home, image.name))


def source_facts(checkout: Checkout) -> SourceFacts:
    """The plain values of a checkout."""
    return SourceFacts(
        name=repository_name(checkout.name),
        path=str(checkout.path),
        fingerprint=checkout.fingerprint,
        revision=checkout.revision,
        url=checkout.source_url,
        committed_at=checkout.committed_at,
        dirty=checkout.dirty,
    )


def fingerprint(request: ReleaseRequest, source: SourceFacts) -> str:
    """Identifies what would be built: the source's content and every option that changes the image."""
    options = request.model_dump(
        mode="json", include={"file", "target", "build_args", "labels", "platforms", "reproducible"}
    )
    text = json.dumps([source.fingerprint, source.dirty, options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


async def _choose(
    shop: Workshop,
    checkout: Checkout,
    image: ImageReference,
    registry: RegistryClient,
    released: Sequence[Version],
) -> Choice:
    request = shop.request
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
    since = await _revision_of(request, checkout, image, registry, last)
    decision = decide(await commits_since(checkout, since, credentials=shop.git_credentials()), current=last)
    return Choice(
        decision.reason,
        bump=decision.bump,
        commits=tuple(str(commit) for commit in decision.deciding),
    )


async def _revision_of(
    request: ReleaseRequest,
    checkout: Checkout,
    image: ImageReference,
    registry: RegistryClient,
    version: Version,
) -> str | None:
    """The git revision (or tag) of a released version: its git tag, else the revision its image carries."""
    if request.tag_prefix is not None or checkout.is_repository_root:
        prefix = DEFAULT_TAG_PREFIX if request.tag_prefix is None else request.tag_prefix
        return f"refs/tags/{prefix}{version}"
    manifest = await registry.manifest(image.repository, image_tag(version))
    config = await registry.image_config(image.repository, manifest)
    revision = (config.get("config", {}).get("Labels") or {}).get(OCI_REVISION)
    if revision is None:
        raise InvalidOption(
            f"--bump auto needs the revision of {version}, but that image carries no {OCI_REVISION} label",
            action="say --bump major, minor or patch this once",
        )
    return str(revision)


async def _settle(
    shop: Workshop, image: ImageReference, registry: RegistryClient, choice: Choice, claim: Claim, *, reserve: bool
) -> tuple[Version, str | None]:
    """The version to release, reserved if asked, and the digest of its image if a run that died had pushed it.

    A version that only the registry knows (a run died before its git tag, and the source has changed since) is passed
    over, unless it was named. Raises VersionTaken, VersionReserved.
    """
    request, ledger = shop.request, shop.ledger
    assert ledger is not None, "the ledger is chosen before a version is"
    elsewhere: list[Version] = []

    def pick(taken: Sequence[Version]) -> Version:
        return choice.pick([*taken, *elsewhere], request.prerelease_token)

    while True:
        if reserve:
            shop.reservation = await ledger.reserve(claim, pick)
            version, noted = shop.reservation.version, shop.reservation.claim.digest
        else:
            version, noted = pick(await ledger.versions()), None
        try:
            return version, await _finishable(image, registry, version, claim.fingerprint, noted)
        except VersionTaken:
            if choice.version is not None or elsewhere:
                raise
            if shop.reservation is not None:
                await ledger.give_back(shop.reservation)
                shop.reservation = None
            tags = await registry.tags(image.repository)
            elsewhere = [known for tag in tags if (known := version_of_tag(tag)) is not None]


async def _finishable(
    image: ImageReference, registry: RegistryClient, version: Version, mark: str, noted: str | None
) -> str | None:
    """The digest of this release's image if a run that died had pushed it. Raises VersionTaken for another's image."""
    tag = image_tag(version)
    tagged = await registry.head(image.repository, tag)
    if tagged is not None:
        if tagged.digest == noted or await _same_release(image, registry, version, mark) is not None:
            return tagged.digest
        raise VersionTaken(
            f"{image.name}:{tag} exists in the registry ({tagged.digest}), but is not this release",
            action="choose another --version or --bump; a released version is never overwritten",
        )
    if noted is not None and await registry.head(image.repository, noted) is not None:
        return noted
    return None


async def _same_release(image: ImageReference, registry: RegistryClient, version: Version, mark: str) -> str | None:
    """The digest of the image with this version if it was built from the same source with the same options."""
    if await registry.head(image.repository, image_tag(version)) is None:
        return None
    manifest = await registry.manifest(image.repository, image_tag(version))
    config = await registry.image_config(image.repository, manifest)
    labels = config.get("config", {}).get("Labels") or {}
    return manifest.digest if labels.get(SLIPWAY_FINGERPRINT) == mark else None


def _plan(
    shop: Workshop,
    image: ImageReference,
    source: SourceFacts,
    version: Version,
    why: str,
    previous: Version | None,
    existing: str | None,
    commits: tuple[str, ...] = (),
) -> ReleasePlan:
    request = shop.request
    epoch = (source.committed_at or 0) if request.reproducible else None
    created = datetime.fromtimestamp(epoch, UTC) if epoch is not None else datetime.now(UTC)
    title = image.repository.rsplit("/", 1)[-1]
    git_tag = None
    if isinstance(shop.ledger, GitLedger):
        git_tag = shop.ledger.tag_name(version)
    return ReleasePlan(
        image=image.name,
        version=str(version),
        why=why,
        source=source,
        tags=(image_tag(version),),
        moving_tags=request.moving_tags,
        git_tag=git_tag,
        deciding_commits=commits,
        previous_version=str(previous) if previous else None,
        labels={**image_labels(title, str(version), source, created), **_mark(request, source), **request.labels},
        source_date_epoch=epoch,
        existing_digest=existing,
    )


def _mark(request: ReleaseRequest, source: SourceFacts) -> dict[str, str]:
    """The label by which a rerun knows its own image."""
    if request.reproducible and source.fingerprint.startswith("tree:"):
        # A directory is known by its files' times, which a reproducible image must not depend on.
        return {}
    return {SLIPWAY_FINGERPRINT: fingerprint(request, source)}

"""How a release's version, tags and labels are decided. No Prefect here: `slipway plan` and the plan step share it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect_slipway.flows.planning.lineage import released_versions
from prefect_slipway.flows.planning.next_version import (
    DEFAULT_TAG_PREFIX,
    RELEASED_BEFORE,
    Choice,
    choose,
    same_release,
)
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.sources import dockerfile_of
from prefect_slipway.flows.run.workshop import Workshop
from prefect_slipway.infra.domain.errors import DockerfileMissing, InvalidOption, VersionTaken
from prefect_slipway.infra.domain.ledger import Claim, VersionLedger
from prefect_slipway.infra.domain.plan import SLIPWAY_FINGERPRINT, ReleasePlan, SourceFacts, image_labels
from prefect_slipway.infra.domain.reference import ImageReference, is_digest, repository_name
from prefect_slipway.infra.domain.version import Version, image_tag, version_of_tag
from prefect_slipway.infra.registry import RegistryClient
from prefect_slipway.infra.registry.ledger import RegistryLedger
from prefect_slipway.infra.source import Checkout, GitLedger


async def plan_release(
    shop: Workshop, checkout: Checkout, *, run: str, reserve: bool, earlier: Version | None = None
) -> ReleasePlan:
    """Decide everything a release will do.

    `reserve`: take the version for this run (the reservation is kept in the workshop); a plan that is only looked at
    reserves nothing. `earlier`: what an earlier attempt of this very run was to release; if it did, it is not followed
    by another version. Raises VersionTaken, VersionReserved, InvalidOption and what registry, git and Vault raise.
    """
    request = shop.request
    if shop.ledger is not None and shop.reservation is not None:
        # A second try of this step: what the first one had reserved would stand in its way.
        await shop.ledger.give_back(shop.reservation)
        shop.reservation = None
    if not dockerfile_of(request, checkout).is_file():
        raise DockerfileMissing(f"there is no {request.file} in {_shown(checkout)}")
    source = source_facts(checkout)
    image = shop.image(source.name)
    registry = await shop.registry(image)
    tags = RegistryLedger([(registry, image.repository)])
    shop.ledger = ledger = await choose_ledger(shop, checkout, tags)
    released = await released_versions(ledger)

    mark = fingerprint(request, source)
    choice = await choose(shop, checkout, {image: registry}, released, mark)
    known = {one.version for one in released}
    if earlier in known and earlier and await same_release(image, registry, earlier, mark) is not None:
        choice = replace(choice, why=RELEASED_BEFORE, version=earlier)
    if choice.nothing and not (reserve and await left_unfinished(shop, choice, Claim(run, mark))):
        return ReleasePlan(
            image=image.name,
            version=None,
            why=choice.why,
            source=source,
            previous_version=str(choice.previous) if choice.previous else None,
        )
    try:
        if shop.reservation is not None:
            version, why = shop.reservation.version, "a release that was interrupted is finished"
            found = await pushed_already({image: registry}, version, mark, shop.reservation.claim.digest)
        else:
            version, found = await settle(shop, {image: registry}, choice, Claim(run, mark), reserve=reserve)
            why = choice.why
        existing = found.get(image)
    except VersionTaken:
        if choice.version is None:
            raise
        version, why = choice.version, "this very release exists already"
        existing = await same_release(image, registry, version, mark)
        if existing is None:
            # An image without a mark tells by its digest whether it is the same: the tag step accepts no other.
            if _mark(request, source) or await registry.head(image.repository, image_tag(version)) is None:
                raise
            why = "the version exists; it is built again, and refused unless its digest is the same"
    return _plan(shop, image, source, version, why, choice, existing)


async def choose_ledger(shop: Workshop, checkout: Checkout, tags: RegistryLedger) -> VersionLedger:
    """Git's tags where the source is a repository's root or a tag prefix was named; the registry's `tags` elsewhere."""
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
    return tags


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


def _shown(checkout: Checkout) -> str:
    """A fetched source by where it came from, not by the folder it was put in."""
    inside = f" below {checkout.subdirectory}" if checkout.subdirectory else ""
    return f"{checkout.source_url or 'the source'}{inside}" if checkout.temporary is not None else str(checkout.path)


def fingerprint(request: ReleaseRequest, source: SourceFacts) -> str:
    """Identifies what would be built: the source's content and every option that changes the image."""
    options = request.model_dump(
        mode="json", include={"file", "target", "build_args", "labels", "platforms", "reproducible"}
    )
    text = json.dumps([source.fingerprint, source.dirty, options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


async def left_unfinished(shop: Workshop, choice: Choice, claim: Claim) -> bool:
    """Whether a run of the same source died between the last version's public tag and its end: then that version is
    reserved, to be finished. What dead runs left otherwise is gone afterwards."""
    ledger, last = shop.ledger, choice.last
    assert ledger is not None, "the ledger is chosen before a version is"
    assert last is not None, "nothing to release: since a version"
    try:
        shop.reservation = await ledger.reserve(claim, lambda taken: last)
    except VersionTaken:
        return False
    return True


async def settle(
    shop: Workshop,
    images: Mapping[ImageReference, RegistryClient],
    choice: Choice,
    claim: Claim,
    *,
    reserve: bool,
) -> tuple[Version, dict[ImageReference, str]]:
    """The version to release, reserved if asked, and the digests of images that a run that died had pushed already.

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
            return version, await pushed_already(images, version, claim.fingerprint, noted)
        except VersionTaken:
            if choice.version is not None or elsewhere:
                raise
            if shop.reservation is not None:
                await ledger.give_back(shop.reservation)
                shop.reservation = None
            tags = [tag for image, registry in images.items() for tag in await registry.tags(image.repository)]
            elsewhere = [known for tag in tags if (known := version_of_tag(tag)) is not None]


async def pushed_already(
    images: Mapping[ImageReference, RegistryClient], version: Version, mark: str, noted: str | None
) -> dict[ImageReference, str]:
    """The digests of those images of this release that a run that died had pushed. Raises VersionTaken."""
    found = await asyncio.gather(
        *(_finishable(image, registry, version, mark, noted) for image, registry in images.items())
    )
    return {image: digest for image, digest in zip(images, found, strict=True) if digest is not None}


async def _finishable(
    image: ImageReference, registry: RegistryClient, version: Version, mark: str, noted: str | None
) -> str | None:
    """The digest of this release's image if a run that died had pushed it. Raises VersionTaken for another's image."""
    noted = _noted(noted, image)
    tag = image_tag(version)
    tagged = await registry.head(image.repository, tag)
    if tagged is not None:
        if tagged.digest == noted or await same_release(image, registry, version, mark) is not None:
            return tagged.digest
        raise VersionTaken(
            f"{image.name}:{tag} exists in the registry ({tagged.digest}), but is not this release",
            action="choose another --version or --bump; a released version is never overwritten",
        )
    if noted is not None and await registry.head(image.repository, noted) is not None:
        return noted
    return None


def _noted(noted: str | None, image: ImageReference) -> str | None:
    """An image's digest in a claim (Claim.digest), which holds one, or those of a set's images by their names."""
    if noted is None or is_digest(noted):
        return noted
    return dict(entry.rpartition("@")[::2] for entry in noted.split()).get(image.name)


def _plan(
    shop: Workshop,
    image: ImageReference,
    source: SourceFacts,
    version: Version,
    why: str,
    choice: Choice,
    existing: str | None,
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
        tags_that_stay=choice.tags_that_stay(version) if request.moving_tags else (),
        git_tag=git_tag,
        deciding_commits=choice.commits,
        deciding_commit_count=choice.commit_count,
        previous_version=str(choice.previous) if choice.previous else None,
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

"""How a set's images, version and labels are decided. No Prefect here: `slipway bake --print` and the flow share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from prefect_slipway.flows.bake.builds import image_of, unused
from prefect_slipway.flows.bake.places import Places
from prefect_slipway.flows.bake.printed import as_bake
from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import Target, TargetSet, choose
from prefect_slipway.flows.planning.image_set import SetImage, SetPlan
from prefect_slipway.flows.planning.lineage import released_versions
from prefect_slipway.flows.planning.next_version import RELEASED_BEFORE, Choice, same_release
from prefect_slipway.flows.planning.next_version import choose as choose_version
from prefect_slipway.flows.planning.plan import choose_ledger, left_unfinished, pushed_already, settle, source_facts
from prefect_slipway.flows.request.image_set import SetRequest
from prefect_slipway.flows.run.workshop import Workshop
from prefect_slipway.infra.domain.errors import InvalidOption, VersionTaken
from prefect_slipway.infra.domain.ledger import Claim
from prefect_slipway.infra.domain.plan import SLIPWAY_FINGERPRINT, ReleasePlan, SourceFacts, image_labels
from prefect_slipway.infra.domain.platform import check_platform
from prefect_slipway.infra.domain.reference import ImageReference, repository_name
from prefect_slipway.infra.domain.version import Version, image_tag
from prefect_slipway.infra.registry import RegistryClient
from prefect_slipway.infra.registry.ledger import RegistryLedger
from prefect_slipway.infra.source import Checkout, GitLedger


def read_set(request: SetRequest, checkout: Checkout) -> TargetSet:
    """What the files in the source say. Raises InvalidOption."""
    return choose(read_folder(places_of(request, checkout), request.files, request.variables), request.targets)


def places_of(request: SetRequest, checkout: Checkout) -> Places:
    """What the set may use of this machine. Raises InvalidOption."""
    return Places.of(checkout.path, checkout.top, request.allow)


def name_images(request: SetRequest, shop: Workshop, targets: TargetSet, source: str) -> dict[str, ImageReference]:
    """Every target's image; one that was not asked for and has no tags goes beside an image that is based on it.

    The registry of the first becomes the one that the workshop's credentials are for. Raises InvalidOption.
    """
    stack = shop.stack.registry if shop.stack is not None else None
    default = f"{stack}/{repository_name(source)}" if stack is not None else None
    images: dict[str, ImageReference] = {}
    for name, target in reversed(list(targets.targets.items())):
        if name in targets.wanted or target.tags:
            images[name] = image_of(target, request.repository, default)
        else:
            heir = next(heir for heir in targets.targets.values() if name in heir.bases.values())
            images[name] = images[heir.name]
    public = [images[name] for name in targets.wanted]
    for name in targets.wanted:
        if public.count(images[name]) > 1:
            twins = [other for other in targets.wanted if images[other] == images[name]]
            raise InvalidOption(
                f"the targets {' and '.join(twins)} are both for {images[name].name}, whose version is one image",
                action="give each a repository of its own",
            )
    shop.request = shop.request.model_copy(update={"image": public[0].name})
    return images


async def plan_set(
    request: SetRequest,
    shop: Workshop,
    checkout: Checkout,
    targets: TargetSet,
    images: Mapping[str, ImageReference],
    *,
    run: str,
    reserve: bool,
    earlier: Version | None = None,
) -> SetPlan:
    """Decide everything the release of a set will do, with one version for all. Parameters and errors as of
    `prefect_slipway.flows.planning.plan.plan_release`."""
    if shop.ledger is not None and shop.reservation is not None:
        # A second try of this step: what the first one had reserved would stand in its way.
        await shop.ledger.give_back(shop.reservation)
        shop.reservation = None
    for target in targets.targets.values():
        for platform in target.platforms:
            check_platform(platform)
    source = source_facts(checkout)
    registries = {images[name]: await shop.registry(images[name]) for name in targets.wanted}
    tags = RegistryLedger([(registry, image.repository) for image, registry in registries.items()])
    shop.ledger = ledger = await choose_ledger(shop, checkout, tags)
    released = await released_versions(ledger)

    mark = _fingerprint(request, targets, source)
    choice = await choose_version(shop, checkout, registries, released, mark)
    if earlier is not None and earlier in {one.version for one in released}:
        with suppress(VersionTaken):  # by something else
            await _all_released(registries, earlier, mark)
            choice = replace(choice, why=RELEASED_BEFORE, version=earlier)
    claim = Claim(run, mark)
    version: Version | None = None
    found: dict[ImageReference, str] = {}
    why = choice.why
    if not choice.nothing:
        try:
            version, found = await settle(shop, registries, choice, claim, reserve=reserve)
        except VersionTaken:
            if choice.version is None:
                raise
            version, found = choice.version, await _all_released(registries, choice.version, mark)
            why = "this very release exists already"
    elif reserve and await left_unfinished(shop, choice, claim):
        assert shop.reservation is not None, "what was left is reserved"
        version, why = shop.reservation.version, "a release that was interrupted is finished"
        found = await pushed_already(registries, version, mark, shop.reservation.claim.digest)
    return SetPlan(
        source=source,
        version=str(version) if version is not None else None,
        why=why,
        images=tuple(
            _image(request, targets, target, images[name], source, version, mark, found, choice)
            for name, target in targets.targets.items()
        ),
        previous_version=str(choice.previous) if choice.previous else None,
        git_tag=ledger.tag_name(version) if isinstance(ledger, GitLedger) and version is not None else None,
        deciding_commits=choice.commits,
        deciding_commit_count=choice.commit_count,
        warnings=(*targets.warnings, *(said for target in targets.targets.values() for said in unused(target))),
    )


async def _all_released(
    registries: Mapping[ImageReference, RegistryClient], version: Version, mark: str
) -> dict[ImageReference, str]:
    """The digests of a version's images if all are there and of this very set. Raises VersionTaken."""
    found = {}
    for image, registry in registries.items():
        digest = await same_release(image, registry, version, mark)
        if digest is None:
            raise VersionTaken(f"the version {version} is released already, and {image.name} is not of this set")
        found[image] = digest
    return found


def _image(
    request: SetRequest,
    targets: TargetSet,
    target: Target,
    image: ImageReference,
    source: SourceFacts,
    version: Version | None,
    mark: str,
    found: Mapping[ImageReference, str],
    choice: Choice,
) -> SetImage:
    public = target.name in targets.wanted
    epoch = (source.committed_at or 0) if request.reproducible else None
    created = datetime.fromtimestamp(epoch, UTC) if epoch is not None else datetime.now(UTC)
    labels = image_labels(image.repository.rsplit("/", 1)[-1], str(version), source, created)
    # A reproducible image must not depend on a directory's times, by which it is known.
    if not (request.reproducible and source.fingerprint.startswith("tree:")):
        labels[SLIPWAY_FINGERPRINT] = mark
    plan = ReleasePlan(
        image=image.name,
        version=str(version) if version is not None else None,
        why="",
        source=source,
        tags=(image_tag(version),) if public and version is not None else (),
        moving_tags=request.moving_tags and public,
        tags_that_stay=choice.tags_that_stay(version) if version is not None and request.moving_tags and public else (),
        previous_version=str(choice.previous) if choice.previous else None,
        labels=labels,
        source_date_epoch=epoch,
        existing_digest=found.get(image) if public else None,
    )
    return SetImage(target.name, plan, tuple(target.bases.values()), public)


def _fingerprint(request: SetRequest, targets: TargetSet, source: SourceFacts) -> str:
    """Identifies what would be built: the source's content, the targets, and what else changes the images."""
    what = [source.fingerprint, source.dirty, as_bake(targets), request.repository, request.reproducible]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

"""How a release's version, tags and labels are decided. No Prefect here: `slipway plan` and the plan step share it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect_slipway.flows.bake.builds import unused
from prefect_slipway.flows.bake.printed import as_bake
from prefect_slipway.flows.bake.targets import Target
from prefect_slipway.flows.planning.build_cache import plan_caches
from prefect_slipway.flows.planning.denied import denied_sources
from prefect_slipway.flows.planning.forge import plan_forge
from prefect_slipway.flows.planning.lineage import released_versions
from prefect_slipway.flows.planning.next_version import (
    DEFAULT_TAG_PREFIX,
    RELEASED_BEFORE,
    Choice,
    choose,
    same_release,
)
from prefect_slipway.flows.planning.notes import with_notes
from prefect_slipway.flows.planning.pull_request import merged_into, plan_pull_request
from prefect_slipway.flows.planning.source import FetchedSource, Images
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.interrupts import whatever_comes
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.flows.values.plan import PlannedCache, PlannedImage, ReleasePlan
from prefect_slipway.infra.domain.errors import InvalidOption, VersionTaken
from prefect_slipway.infra.domain.labels import SLIPWAY_FINGERPRINT, image_labels
from prefect_slipway.infra.domain.ledger import Claim, Released, VersionLedger
from prefect_slipway.infra.domain.reference import ImageReference, is_digest
from prefect_slipway.infra.domain.version import Version, image_tag, version_of_tag
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.ledger import RegistryLedger
from prefect_slipway.infra.source.ledger import GitLedger


async def plan_release(
    run: OpenRun, source: FetchedSource, *, claimant: str | None, earlier: Version | None = None
) -> tuple[ReleasePlan, ReservedVersion | None]:
    """Decide everything a release will do, and reserve its version.

    `claimant`: the run that reserves; None: nobody, for a plan that is only looked at. `earlier`: what an earlier
    attempt of the same run meant to release; if it did, no other version follows. Raises VersionTaken,
    VersionReserved, InvalidOption and what registry, git and Vault raise; nothing is reserved then.
    """
    return await _Planning(run, source, await source.public(), claimant).plan(earlier)


_NO_PREFIX = "-"

_NO_OUTPUTS = "the outputs beside the push are not written, because an earlier run has pushed the image"

# Options of a build that change how it is built, not what: the image with another one is the same release.
_NOT_OF_THE_IMAGE = {
    *("allow", "cache_from", "cache_to", "network", "no_cache", "no_cache_filter", "outputs", "pull"),
}


class _Planning:
    """`fingerprint`: of what would be built."""

    def __init__(self, run: OpenRun, source: FetchedSource, images: Images, claimant: str | None) -> None:
        self._run = run
        self._source = source
        self._images = images
        self._fingerprint = _fingerprint(run.request, source)
        self._claim = Claim(claimant, self._fingerprint) if claimant is not None else None
        self._reserved: ReservedVersion | None = None
        self._caches: Mapping[str, PlannedCache] = {}
        self._released: Sequence[Released] = ()
        self._base = ""

    async def plan(self, earlier: Version | None) -> tuple[ReleasePlan, ReservedVersion | None]:
        try:
            plan = await self._plan(earlier)
            return await with_notes(self._run, self._source, self._images, self._released, plan), self._reserved
        except BaseException:
            if self._reserved is not None:
                await whatever_comes(self._reserved.end())
            raise

    async def _plan(self, earlier: Version | None) -> ReleasePlan:
        self._base = await merged_into(self._run, self._source.checkout)
        tags = RegistryLedger([(registry, image.repository) for image, registry in self._images.items()])
        ledger = await _choose_ledger(self._run, self._source, tags)
        released = self._released = await released_versions(ledger)
        choice = await choose(self._run, ledger, self._source.checkout, self._images, released, self._fingerprint)
        if (
            earlier is not None
            and earlier in {release.version for release in released}
            and await self._is_ours(earlier)
        ):
            choice = replace(choice, why=RELEASED_BEFORE, version=earlier)
        if choice.nothing:
            return await self._unfinished(ledger, choice)
        if self._base and not choice.approved:
            self._claim = None  # it is proposed only
        self._caches = await plan_caches(self._run, self._source)
        try:
            version, found = await self._settle(ledger, choice)
            return self._as_plan(ledger, choice, version, choice.why, found)
        except VersionTaken as taken:
            if choice.version is None:
                raise
            return await self._once_more(ledger, choice, choice.version, taken)

    async def _unfinished(self, ledger: VersionLedger, choice: Choice) -> ReleasePlan:
        """Nothing to release; but a run of the same source may have died between the last version's public tag and its
        end: then that version is reserved, to be finished. What dead runs left otherwise is gone afterwards."""
        if self._claim is not None:
            last = choice.last
            assert last is not None, "nothing to release: since a version"
            try:
                self._reserved = ReservedVersion(ledger, await ledger.reserve(self._claim, lambda taken: last))
            except VersionTaken:
                pass
            else:
                found = await _pushed_already(self._images, last, self._fingerprint, self._reserved.noted)
                why = "finishing an interrupted release"
                return self._as_plan(ledger, choice, self._reserved.version, why, found)
        return self._as_plan(ledger, choice, None, choice.why, {})

    async def _settle(self, ledger: VersionLedger, choice: Choice) -> tuple[Version, dict[ImageReference, str]]:
        """The version to release, reserved if asked, and the digests of images that a run that died had pushed already.

        A version that only the registry knows (a run died before its git tag, and the source has changed since) is
        passed over, unless it was named. Raises VersionTaken, VersionReserved.
        """
        elsewhere: list[Version] = []

        def pick(taken: Sequence[Version]) -> Version:
            return choice.pick([*taken, *elsewhere])

        while True:
            if self._claim is not None:
                self._reserved = ReservedVersion(ledger, await ledger.reserve(self._claim, pick))
                version, noted = self._reserved.version, self._reserved.noted
            else:
                version, noted = pick(await ledger.versions()), None
            try:
                return version, await _pushed_already(self._images, version, self._fingerprint, noted)
            except VersionTaken:
                if choice.version is not None or elsewhere:
                    raise
                if self._reserved is not None:
                    await self._reserved.end()
                    self._reserved = None
                tags = [tag for image, client in self._images.items() for tag in await client.tags(image.repository)]
                elsewhere = [known for tag in tags if (known := version_of_tag(tag)) is not None]

    async def _once_more(
        self, ledger: VersionLedger, choice: Choice, version: Version, taken: VersionTaken
    ) -> ReleasePlan:
        """A requested version that exists: fine if it is the same release. Raises `taken`, VersionTaken."""
        found: dict[ImageReference, str] = {}
        for image, registry in self._images.items():
            digest = await same_release(image, registry, version, self._fingerprint)
            if digest is not None:
                found[image] = digest
            # Without a fingerprint the digest decides whether it is the same image: the tag step accepts no other.
            elif self._is_marked or await registry.head(image.repository, image_tag(version)) is None:
                if len(self._images) == 1:
                    raise taken
                raise VersionTaken(
                    f"the version {version} is released already, and {image.name} is not part of it"
                ) from taken
        why = "exactly this release exists already"
        if len(found) < len(self._images):
            why = "the version exists; it is built again and rejected unless its digest is the same"
        return self._as_plan(ledger, choice, version, why, found)

    async def _is_ours(self, version: Version) -> bool:
        """Whether all images of the version come from the same release."""
        digests = [
            await same_release(image, registry, version, self._fingerprint) for image, registry in self._images.items()
        ]
        return None not in digests

    @property
    def _is_marked(self) -> bool:
        """Whether a rerun knows its own images by a label: a reproducible image must not depend on a directory's times,
        by which it is known."""
        return not (self._run.request.build.reproducible and self._source.facts.fingerprint.startswith("tree:"))

    def _as_plan(
        self,
        ledger: VersionLedger,
        choice: Choice,
        version: Version | None,
        why: str,
        found: Mapping[ImageReference, str],
    ) -> ReleasePlan:
        request, source, targets = self._run.request, self._source.facts, self._source.targets
        forge = plan_forge(request.forge, source, ledger, version or choice.last, self._released)
        policy = request.build.policy()
        epoch = (source.committed_at or 0) if request.build.reproducible else None
        created = datetime.fromtimestamp(epoch, UTC) if epoch is not None else datetime.now(UTC)
        return ReleasePlan(
            source=source,
            version=str(version) if version is not None else None,
            why=why,
            images=tuple(
                self._image(target, choice, version, created, found.get(self._source.images[target.name]))
                for target in targets.targets.values()
            ),
            moving_tags=request.version.moving_tags,
            channel=choice.channel_of(version),
            git_tag=ledger.tag_name(version) if isinstance(ledger, GitLedger) and version is not None else None,
            deciding_commits=choice.commits,
            deciding_commit_count=choice.commit_count,
            previous_version=str(choice.previous) if choice.previous else None,
            source_date_epoch=epoch,
            warnings=(
                *targets.warnings,
                *(said for target in targets.targets.values() for said in unused(target)),
                *(denied_sources(policy, targets, self._source.places) if policy is not None else ()),
                *([_NO_OUTPUTS] if found and request.build.outputs else []),
            ),
            build_options=request.build_options,
            gates=tuple(gate.shown for gate in request.gates.asked) if version is not None else (),
            sign=self._run.signing_keys(self._images) if version is not None else (),
            source_policy=policy.digest if policy is not None else None,
            deploys=tuple(f"{name}: {each.place}" for name, each in request.deploy.items()),
            forge=forge,
            last_version=str(choice.last) if version is None and choice.last is not None else None,
            pull_request=plan_pull_request(request, choice, forge, self._source.checkout, self._base),
        )

    def _image(
        self, target: Target, choice: Choice, version: Version | None, created: datetime, existing: str | None
    ) -> PlannedImage:
        source, image = self._source.facts, self._source.images[target.name]
        if version is None:
            return PlannedImage(target.name, image.name, public=target.name in self._source.targets.wanted)
        public = target.name in self._source.targets.wanted
        title = image.repository.rsplit("/", 1)[-1]
        labels = image_labels(title, str(version), created, revision=source.revision, url=source.url)
        if self._is_marked:
            labels[SLIPWAY_FINGERPRINT] = self._fingerprint
        return PlannedImage(
            target=target.name,
            image=image.name,
            tags=(image_tag(version),) if public else (),
            tags_that_stay=choice.tags_that_stay(version) if self._run.request.version.moving_tags and public else (),
            labels={**labels, **target.labels},
            bases=tuple(target.bases.values()),
            public=public,
            existing_digest=existing if public else None,
            cache=self._caches.get(target.name),
        )


async def _choose_ledger(run: OpenRun, source: FetchedSource, tags: RegistryLedger) -> VersionLedger:
    """Git's tags where the source is a repository's root or a tag prefix was named; the registry's `tags` elsewhere."""
    checkout, prefix = source.checkout, run.request.version.tag_prefix
    if checkout.repository is not None and checkout.revision is not None:
        if prefix is not None or checkout.is_repository_root:
            return await GitLedger.open(
                checkout,
                prefix=DEFAULT_TAG_PREFIX if prefix is None else prefix.removeprefix(_NO_PREFIX),
                remote=run.request.version.git_remote,
                credentials=run.git_credentials(),
            )
    elif prefix is not None:
        raise InvalidOption(
            "--tag-prefix needs a source in a git repository with a commit",
            action="remove --tag-prefix to read the versions from the registry",
        )
    return tags


def _fingerprint(request: ReleaseRequest, source: FetchedSource) -> str:
    """Identifies what would be built: the source's content and every option that changes the images."""
    build = request.build
    if request.bake is None:
        options: object = {
            **request.model_dump(mode="json", include={"file", "build_args", "platforms"}),
            "target": build.target,
            "labels": build.labels,
            "reproducible": build.reproducible,
            # Only what is set: releases of before there were these options are the same ones still.
            **build.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_OF_THE_IMAGE),
        }
        what = [source.facts.fingerprint, source.facts.dirty, options]
    else:
        options = as_bake(source.targets)
        what = [source.facts.fingerprint, source.facts.dirty, options, request.bake.repository, build.reproducible]
        what += filter(None, [build.attestation_options, build.source_policy])
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


async def _pushed_already(
    images: Images, version: Version, fingerprint: str, noted: str | None
) -> dict[ImageReference, str]:
    """The digests of those images of this release that a run that died had pushed. Raises VersionTaken."""
    found = await asyncio.gather(
        *(_finishable(image, registry, version, fingerprint, noted) for image, registry in images.items())
    )
    return {image: digest for image, digest in zip(images, found, strict=True) if digest is not None}


async def _finishable(
    image: ImageReference, registry: RegistryClient, version: Version, fingerprint: str, noted: str | None
) -> str | None:
    """The digest of this release's image if a run that died had pushed it. Raises VersionTaken for another's image."""
    noted = _noted(noted, image)
    tag = image_tag(version)
    tagged = await registry.head(image.repository, tag)
    if tagged is not None:
        if tagged.digest == noted or await same_release(image, registry, version, fingerprint) is not None:
            return tagged.digest
        raise VersionTaken(
            f"{image.name}:{tag} exists in the registry ({tagged.digest}) and is a different release",
            action="choose another --version or --bump; a released version is never overwritten",
        )
    if noted is not None and await registry.head(image.repository, noted) is not None:
        return noted
    return None


def _noted(noted: str | None, image: ImageReference) -> str | None:
    """An image's digest in a claim (Claim.digest): IMAGE@DIGEST each; claims of earlier versions hold one digest."""
    if noted is None or is_digest(noted):
        return noted
    return dict(entry.rpartition("@")[::2] for entry in noted.split()).get(image.name)
